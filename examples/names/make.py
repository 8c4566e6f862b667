"""Tags the people and places of three novels: the files `train.conll.gz` and `validation.conll.gz` beside it.

The text is JSON lines with `title` and `text`, a chapter each. The files here are of ELTeC's English collection
(github.com/COST-ELTeC/ELTeC-eng, commit 3db3b673, level 1), whose texts are in the public domain. A name is tagged
because it is on the lists below, and nobody has read it over: good enough to see a tagger learn, not to compare
taggers by. The novel to validate on shares hardly a name with those to train on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

TITLES = {"train": ("The Sign of Four", "Howards End"), "validation": ("The Thirty-nine Steps",)}
PEOPLE = """
Sherlock Holmes Watson Mary Morstan Arthur John Thaddeus Bartholomew Sholto Jonathan Small Athelney Jones Tonga Toby
Mordecai Smith Jim Jack Wiggins Sherman McMurdo Williams Cecil Forrester Lal Rao Chowdar Achmet Mahomet Singh Abdullah
Khan Dost Akbar Abel White Dawson Jefferson Hope Lestrade Gregson Holder Hudson Wilson Goethe Carlyle Bernstone
Margaret Meg Helen Tibby Schlegel Schlegels Henry Charles Paul Evie Dolly Wilcox Wilcoxes Ruth Juley Leonard Len Bast
Basts Jacky Avery Frieda Mosebach Crane Percy Cahill Fussell Fussells Albert Bryce Liesecke George Tom Emily Bracknell
Beethoven Brahms Monet Debussy Ruskin Jefferies Napoleon Bruno Conder Angelo Madge Myra Laura Burton Theobald Munt
Warrington Warringtons Edser Annie Mansbridge Ernst Stevenson Thoreau Wagner Scudder Franklin Hannay Richard Dick
Karolides Constantine Walter Bullivant Harry Paddock Turnbull Alexander Alloa Scaife Royer Whittaker Peter Pienaar
Twisdon Tommy Marmie Marmaduke Jopley Ned Ainslie Winstanley MacGillivray Franz Bob Kenner Eustace Charlie Borrow Vyse
Hislop Specky Ecky Theophilus Digby Drew Percival Appleton Kipling Julia Czechenyi Conrad Reggie Jordan Merran Sandy
""".split()
PLACES = """
London|England|India|Baker Street|Norwood|Upper Norwood|Thames|Pondicherry Lodge|Camberwell|Lower Camberwell|Surrey|
Gravesend|Greenwich|Lambeth|Pinchin Lane|Kennington Lane|Knight's Place|Jacobson's Yard|Agra|Andaman Islands|
Andaman Isles|Andamans|Madras|Cawnpore|Lucknow|Delhi|Calcutta|Benares|Muttra|Bombay|Ganges|Pershore|Worcestershire|
Richmond|Westminster|Woolwich|Blackwall|Deptford Reach|Isle of Dogs|Barking Level|Plumstead Marshes|Smith's Wharf|
Paris|Edinburgh|Streatham|Brixton|Nine Elms|Vauxhall|Vauxhall Bridge|Vauxhall Bridge Road|Strand|Scotland Yard|
Rutland Island|Blair Island|Port Blair|Hope Town|Mount Harriet|Singapore|Jiddah|Sumatra|Bay of Bengal|America|Africa|
Afghanistan|Newfoundland|Brazils|Dartmoor|Kent|Langham Hotel|Lyceum Theatre|Wigmore Street|Broad Street|Bond Street|
Belmont Place|Prince's Street|Miles Street|Millbank|Ceylon|Poplar|Riga|Senegambia|Ballarat|Shahgunge|Rajpootana|
Europe|Howards End|Wickham Place|Oniton|Oniton Grange|Germany|Swanage|Ducie Street|Hilton|Oxford|Hertfordshire|
Shropshire|Stettin|Queen's Hall|King's Cross|Six Hills|Speyer|Paddington|Nigeria|Yorkshire|Chelsea|
Chelsea Embankment|Shrewsbury|Munich|Heidelberg|Waterloo|Nottingham|Manchester|Venice|Naples|Oder|Oderberge|
Pomerania|Bournemouth|Wales|Greece|Regent Street|Wimbledon|Epsom|Cyprus|Poole|Poole Harbour|Stour|Avon|Purbeck Downs|
Liverpool Street|Scotland|Wessex|Tewin|Tewin Water|Finsbury Circus|Covent Garden|Camelia Road|Italy|Baltic|Cambridge|
Southampton|Corfe|Dorchester|Wimborne|Lulworth|Apennines|Westmoreland|West Africa|Curzon Street|Garda|Sussex|
Cornwall|Euston|Berlin|Derby|Chalkeley|High Street|Thibet|Portland Place|Galloway|Rhodesia|Vienna|Britain|France|
Bradgate|Trafalgar Lodge|St Pancras|Leith|Balkans|Australia|Dover|Russia|Newton-Stewart|Dumfries|Artinswell|Moffat|
Portsmouth|Jermyn Street|Duke Street|Cromer|Bulawayo|South Africa|New Zealand|Vancouver|Albania|Oxford Circus|
Langham Place|Kentucky|Chicago|Volga|Achensee|Tyrol|Buda|Racknitzstrasse|Leipsic|Hamburg|Norway|Bergen|Damaraland|
Euston Road|Leeds|Kiel|Delagoa Bay|Karroo|Cairnsmore|Kimberley|Kalahari|Crumpleton|Blackpool|New Guinea|Archangel|
Wigtown|Tweed|Annan|Crewe|Birmingham|Berkshire|Zambesi|Brattleburn|Constantinople|Lisbon|Brussels|Norfolk|Havre|
Sheringham|Senegal|Leithen Water
""".replace("\n", "").split("|")
_WORD = re.compile(r"'s\b|\w+(?:[-']\w+)*?(?='s\b)|\w+(?:[-']\w+)*|[^\w\s]")
_SENTENCE = re.compile(r"(?:(?<=[.!?])(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!St\.)|(?<=[.!?]['\"]))\s+(?=['\"]?[A-Z])|\n+")


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.replace("’", "'"))


_NAMES = {tuple(words_of(place)): "LOC" for place in PLACES} | {(word,): "PER" for word in PEOPLE}
_LONGEST = max(map(len, _NAMES))


def tags_of(words: list[str]) -> list[str]:
    """Of the longest names of the lists; names of people that stand side by side are one."""
    tags: list[str] = []
    while len(tags) < len(words):
        at = len(tags)
        found = (words[at : at + length] for length in range(_LONGEST, 0, -1))
        name = next((name for name in found if tuple(name) in _NAMES), words[at : at + 1])
        kind = _NAMES.get(tuple(name))
        first = "I-PER" if kind == "PER" and tags and tags[-1].endswith("PER") else f"B-{kind}"
        tags += [first, *[f"I-{kind}"] * (len(name) - 1)] if kind else ["O"]
    return tags


def sentences(chapters: list[dict[str, str]], titles: tuple[str, ...]) -> Iterator[str]:
    """Of 4 to 60 words, as lines of a word and its tag: all that have a name, and every tenth of the others."""
    texts = [chapter["text"] for chapter in chapters if chapter["title"].startswith(titles)]
    nameless = 0
    for words in (words_of(sentence) for text in texts for sentence in _SENTENCE.split(text)):
        tags = tags_of(words)
        nameless += set(tags) == {"O"}
        if 4 <= len(words) <= 60 and (set(tags) != {"O"} or nameless % 10 == 0):
            yield "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines with title and text, also .gz")
    parser.add_argument("--most", type=int, default=1100, help="sentences to train on; a third as many to validate on")
    parser.add_argument("--output_dir", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    chapters = []
    for path in args.files:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            chapters += [json.loads(line) for line in file]
    for name, titles in TITLES.items():
        found, most = list(sentences(chapters, titles)), args.most if name == "train" else args.most // 3
        text = "\n".join(found[:: max(len(found) // most, 1)][:most])
        with gzip.GzipFile(args.output_dir / f"{name}.conll.gz", "wb", mtime=0) as file:
            file.write(text.encode())
        print(f"{name}: {min(len(found), most):,} of {len(found):,} sentences, {text.count(' B-'):,} names")


if __name__ == "__main__":
    main()
