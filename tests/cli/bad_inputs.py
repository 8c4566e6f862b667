"""Inputs that no command can use, with what must be said of each, and the folder that they are about."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertForMaskedLM

from tests.small_text import write_text_and_tokenizer
from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.data import load_tokenizer

__all__ = ["BEGINNINGS", "CASES", "write_inputs"]

BEGINNINGS = {
    "pretrain": "pretrain --use_cpu true --output_dir out --max_steps 1 --preset tiny",
    "text": "pretrain --use_cpu true --output_dir out --max_steps 1 --preset tiny --tokenizer_name tokenizer",
    "bert": "pretrain --use_cpu true --output_dir out --max_steps 1 --backbone bert --tokenizer_name tokenizer",
    "pair": "pretrain --use_cpu true --output_dir out --max_steps 1 --model_name_or_path pair",
    "plan": "plan --use_cpu true --output_dir out",
    "tokenizer": "tokenizer --output_dir out",
    "finetune": "finetune --use_cpu true --output_dir out --model_name_or_path pair",
    "labels": "finetune --use_cpu true --output_dir out --model_name_or_path pair --train_file train.csv"
    " --validation_file dev.csv",
    "evaluate": "evaluate --use_cpu true --output_dir out --model_name_or_path pair --task",
    "inspect": "inspect --model_name_or_path pair --text the",
    "app": "app --model_name_or_path pair",
    "soup": "soup pair full --output_dir out --use_cpu true",
    "export": "export --model_name_or_path pair --output_dir out",
    "convert": "convert",
    "": "",
}
"""What stands before an input, by the word that its line begins with."""

# A line is an input: the beginning, further words, and after `=>` words that the error has.
_LINES = r"""
# Which command
 pretran => unknown command 'pretran'; did you mean 'pretrain'?
 --verzion => unknown command '--verzion'
 tokenizer => missing --output_dir
 tokenizer out => stray 'out'
 inspect => missing --text
 evaluate --output_dir out --model_name_or_path pair => missing --task
 soup --output_dir out => missing --checkpoints
 convert pair => missing --destination
# Arguments
pretrain --learning_rat 1 => unknown argument --learning_rat on the command line; did you mean --learning_rate?
pretrain --warmup_ratio 0.1 => unknown argument --warmup_ratio
pretrain -x 1 => unknown argument -x
pretrain stray => stray 'stray' on the command line
pretrain --seed => argument --seed: expected one argument
pretrain --seed 1 2 => stray '2'
pretrain --seed true => invalid int value: 'true'
pretrain --seed 0x10 => invalid int value: '0x10'
pretrain --learning_rate 1e-3e => invalid float value: '1e-3e'
pretrain --learning_rate '' => invalid float value: ''
pretrain --warmup_steps 1,5 => invalid float value: '1,5'
pretrain --max_steps 1e3 => invalid int value: '1e3'
pretrain --use_cpu perhaps => got perhaps
pretrain --dry_run maybe => got maybe
pretrain --eval_strategy epochs => invalid choice: 'epochs'
pretrain --lr_scheduler_type cosin => invalid choice: 'cosin'
pretrain --preset tinny => invalid choice: 'tinny'
pretrain --model_name_or_path mcl-pair --generator_shares encoder => has an encoder of its own
pretrain --objective elektra => invalid choice: 'elektra'
pretrain --optim adamm => optim=adamm must be one of adamw_torch
pretrain --report_to wandbb => report_to: there is no 'wandbb'; choose from azure_ml
pretrain --torch_compile true --torch_compile_backend indctor => did you mean 'inductor'?
pretrain --language english => language: 'english' is no code of a language
pretrain --license gpl4 => license: there is no 'gpl4'
pretrain --loss_weights "{'mlm': 1}" => expected a JSON mapping such as '{"key": 1}', got "{'mlm': 1}"
pretrain --loss_weights mlm=1 => expected a JSON mapping
pretrain --loss_weights [1] => expected a JSON mapping
pretrain --loss_weights '{"mlm": 1, "mlm": 2}' => 'mlm' stands twice
pretrain --loss_weights '{"mlm": true}' => loss_weights['mlm']=True must be a number
pretrain --loss_weights '{"mlm": [1]}' => loss_weights['mlm']=[1] must be a number
pretrain --loss_weights '{"mlmm": 1}' => loss_weights: there is no 'mlmm'
pretrain --lr_scheduler_kwargs power => lr_scheduler_kwargs='power' must be a JSON mapping
pretrain --lr_scheduler_kwargs '{"powr": 2}' --lr_scheduler_type polynomial => 'powr' is no argument of polynomial
labels --lr_scheduler_kwargs '{"a": 1}' => 'a' is no argument of linear; it has none
pretrain --torch_compile true --torch_compile_mode foo => torch_compile_mode: there is no 'foo'; choose from default
labels --torch_compile true --torch_compile_mode foo => torch_compile_mode: there is no 'foo'
pretrain --optim_args foo => optim_args=foo: 'foo' is not name=value
labels --optim_args =1 => optim_args==1: '=1' is not name=value
pretrain --optim_args foo=1 => optim_args: 'foo' is no argument of adamw_torch_fused that can be given
labels --optim_args foo=1 => optim_args: 'foo' is no argument of adamw_torch_fused that can be given
labels --optim_args eps=7 => optim_args: 'eps' is no argument of adamw_torch_fused that can be given
pretrain --optim sgd --optim_args momentum=0.9,lr=3 => optim_args: 'lr' is no argument of sgd that can be given
labels --optim adafactor --optim_args relative_step=true => 'relative_step' is no argument of adafactor
labels --optim sgd --optim_args momentum=abc => could not convert string to float: 'abc'
labels --optim sgd --optim_args momentum=-1 => optim_args=momentum=-1: Invalid momentum value: -1.0
pretrain --optim sgd --optim_args nesterov=true => Nesterov momentum requires a momentum
pretrain --optim muon --optim_args foo=1 => optim_args: 'foo=1' is not an argument of Muon
labels --optim galore_adamw => galore
labels --sweep '{}' => sweep={}: name training arguments, each with a list of values
labels --sweep [] => expected a JSON mapping
labels --sweep 3 => expected a JSON mapping
labels --sweep '{"optim_args": ["foo=1"]}' => 'foo' is no argument of adamw_torch_fused
labels --sweep '{"optim": ["adammm"]}' => adammm
labels --sweep '{"lr_scheduler_type": ["foo"]}' => foo
labels --sweep '{"max_steps": [1.5]}' => max_steps cannot be 1.5
labels --sweep '{"output_dir": ["a"]}' => 'output_dir' is no training argument that can be swept
labels --sweep '{"fp16": [true]}' => fp16
labels --sweep '{"lr_scheduler_kwargs": [3]}' => lr_scheduler_kwargs=3 must be a JSON mapping
labels --class_weights [1] => class_weights='[1]' must be balanced
labels --class_weights '{"yes": "a"}' => must be balanced
labels --class_weights '{"yes": -1}' => 'yes': -1 is no weight above 0
pretrain --lr_scheduler_kwargs 3 => lr_scheduler_kwargs
labels --lr_scheduler_kwargs '{"a": }' => lr_scheduler_kwargs
labels --lr_scheduler_type polynomial --lr_scheduler_kwargs '{"power": "a"}' => lr_scheduler_type=polynomial cannot be
labels --lr_scheduler_type reduce_lr_on_plateau --lr_scheduler_kwargs '{"patience": "a"}' => cannot be with
pretrain --lr_scheduler_type reduce_lr_on_plateau --lr_scheduler_kwargs '{"mode": "upp"}' => upp
pretrain --accelerator_config nonsense => accelerator_config: give a JSON mapping, or a file of one: nonsense
labels --accelerator_config broken.json => broken.json is damaged: it is no JSON
labels --accelerator_config list.jsonl => list.jsonl is damaged: it holds a list, not a dict
pretrain --accelerator_config '{"a": 1}' => unexpected keyword argument 'a'
labels --accelerator_config '{"split_batches": "x"}' => accelerator_config['split_batches']='x' must be true or false
labels --accelerator_config '{"gradient_accumulation_kwargs": {"foo": 3}}' => there is no 'foo'; choose from num_steps
pretrain --accelerator_config '{"gradient_accumulation_kwargs": 3}' => gradient_accumulation_kwargs
pretrain --accelerator_config ' {"gradient_accumulation_kwargs": {"sync_each_batch": 3}}' => sync_each_batch=3 must be
pretrain --fsdp_config nonsense => fsdp_config: give a JSON mapping, or a file of one: nonsense cannot be read
labels --fsdp_config broken.json => fsdp_config: give a JSON mapping, or a file of one: broken.json is damaged
pretrain --activation_checkpointing_kwargs nonsense => activation_checkpointing_kwargs='nonsense' must be
labels --activation_checkpointing_kwargs '{"a": 1}' => activation_checkpointing_kwargs: there is no 'a'
labels --label_names a b => label_names=['a', 'b']: figures of a task
labels --label_smoothing_factor nan => label_smoothing_factor=nan must be at least 0 and below 1
pretrain --debug nonsense => debug
labels --ddp_backend foo => foo
labels --hub_strategy foo => invalid choice: 'foo'
pretrain --push_to_hub true --hub_model_id 'a b' => push_to_hub='a b' is no name of a repository
labels --push_to_hub true --hub_model_id a/b/c => push_to_hub='a/b/c' is no name of a repository
pretrain --push_revisions true => push_revisions=True does nothing where save_strategy is no: give --save_steps
pretrain --push_revisions true --save_steps 1 => push_revisions=True has no repository: give --hub_model_id
pretrain --push_revisions true --save_steps 1 --hub_model_id 'a b' => hub_model_id='a b' is no name of a repository
soup --push_to_hub 'a b' => push_to_hub='a b' is no name of a repository
# Files of arguments
pretrain --config missing.yaml => --config missing.yaml: No such file or directory
pretrain --config nothing => --config nothing:
pretrain --config unknown_key.yaml => unknown argument learning_rat in unknown_key.yaml; did you mean learning_rate?
pretrain --config wrong_type.yaml => argument learning_rate: invalid float value: 'fast' (in wrong_type.yaml)
pretrain --config list_for_one.yaml => argument learning_rate: expected one value, got ['1e-4', '1e-5']
pretrain --config mapping_for_one.yaml => argument learning_rate: expected one value, got {'a': 1}
pretrain --config null.yaml => argument learning_rate: expected one value, got None
pretrain --config twice.yaml => --config twice.yaml line 2: 'seed' stands twice
pretrain --config list.yaml => --config list.yaml must hold a mapping
pretrain --config empty.yaml => --config empty.yaml must hold a mapping
pretrain --config broken.yaml => --config broken.yaml line 2
pretrain --config broken.json => --config broken.json line 1
pretrain --config tag.yaml => argument seed: expected one value
pretrain --config latin.yaml => --config latin.yaml is not UTF-8: byte 13 is 0xe9
pretrain --config range.yaml => weight_decay=-1.0 must be 0 or more
# Numbers
pretrain --learning_rate -1 => learning_rate=-1.0 must be 0 or more
pretrain --learning_rate nan => learning_rate=nan must be 0 or more, and finite
pretrain --learning_rate 1e400 => learning_rate=inf must be 0 or more, and finite
pretrain --weight_decay -0.1 => weight_decay=-0.1 must be 0 or more
pretrain --adam_beta1 1 => adam_beta1=1.0 must be at least 0 and below 1
pretrain --adam_epsilon 0 => adam_epsilon=0.0 must be above 0
pretrain --max_grad_norm nan => max_grad_norm=nan must be 0 or more, and finite
pretrain --label_smoothing_factor 1 => label_smoothing_factor=1.0 must be at least 0 and below 1
pretrain --seed -1 => seed=-1 must be from 0 to 2**32 - 1
pretrain --eval_seed -1 => eval_seed=-1 must be from 0 to 2**63 - 1
pretrain --per_device_train_batch_size 0 => per_device_train_batch_size=0 must be at least 1
pretrain --gradient_accumulation_steps 0 => gradient_accumulation_steps=0 must be at least 1
pretrain --dataloader_num_workers -1 => dataloader_num_workers=-1 must be 0 or more
pretrain --dataloader_persistent_workers true => dataloader_persistent_workers needs a dataloader_num_workers
pretrain --save_steps 4 --save_total_limit -1 => save_total_limit=-1 must be 0 or more
pretrain --save_steps 0 => save_steps=0.0 must be above 0
pretrain --eval_steps 0 => eval_steps=0.0 must be above 0
pretrain --eval_steps 1.5 => eval_steps must be an integer if bigger than 1: 1.5
pretrain --eval_delay nan => eval_delay=nan must be 0 or more, and finite
pretrain --warmup_steps -1 => warmup_steps=-1.0 must be 0 or more
pretrain --course_warmup_steps nan => course_warmup_steps=nan must be 0 or more, and finite
pretrain --max_steps 0 => max_steps=0 must be at least 1, or -1
pretrain --max_steps -1 --max_hours -1 => max_hours=-1.0 must be above 0
pretrain --max_steps -1 --max_hours nan => max_hours=nan must be above 0, and finite
pretrain --max_steps -1 --max_tokens 0 => max_tokens=0 must be at least 1
pretrain --max_steps -1 --num_train_epochs 0 => num_train_epochs=0.0 must be above 0
pretrain --neftune_noise_alpha -1 => neftune_noise_alpha=-1.0 must be 0 or more
pretrain --mask_ratio 1.5 => mask_ratio=1.5 must be above 0 and below 1
pretrain --swap_ratio nan => swap_ratio=nan must be above 0 and below 1
pretrain --insert_ratio 0 => insert_ratio=0.0 must be above 0 and below 1
pretrain --generator_temperature inf => generator_temperature=inf must be above 0, and finite
pretrain --generator_temperature_decay 0 => generator_temperature_decay=0.0 must be above 0
pretrain --discriminator_weight nan => discriminator_weight=nan must be 0 or more, and finite
pretrain --loss_weights '{"mlm": NaN}' => loss_weights['mlm']=nan must be 0 or more, and finite
pretrain --max_seq_length 3 => max_seq_length=3 must be at least 4
pretrain --max_seq_length 100000 => max_seq_length=100000 exceeds the model's max_position_embeddings=128
pretrain --max_train_samples 0 => max_train_samples=0 must be at least 1
pretrain --preprocessing_num_workers -2 => preprocessing_num_workers=-2 must be at least 1
pretrain --shuffle_buffer_size -1 => shuffle_buffer_size=-1 must be 0 or more
pretrain --validation_split_percentage nan => validation_split_percentage=nan must be above 0 and below 100
pretrain --train_file text.txt --mixing_weights nan => mixing_weights=nan must be above 0, and finite
pretrain --train_file text.txt --mixing_weights 1 2 => mixing_weights are 2
pretrain --length_warmup_steps 1 --length_warmup_lengths 16 8 => length_warmup_lengths=[16, 8] must grow
pretrain --lr_scheduler_kwargs '{"power": NaN}' => lr_scheduler_kwargs['power']=nan must be finite
pretrain --optim muon --optim_args momentum=2 => momentum must be in [0, 1)
plan --ladder_steps 0 => ladder_steps=0 must be at least 1
plan --learning_rate nan => learning_rate=nan must be 0 or more, and finite
tokenizer --vocab_size 0 => vocab_size=0 must be at least 1
tokenizer --min_frequency 0 => min_frequency=0 must be at least 1
tokenizer --seed -1 => seed=-1 must be from 0 to 2**32 - 1
tokenizer --train_file text.txt --vocab_size 3 => vocab_size is 3: the special tokens and the characters
labels --num_seeds 0 => num_seeds=0 must be at least 1
labels --num_seeds 2 --seed 4294967295 => num_seeds=2 from seed=4294967295 on: 4294967296 is beyond
labels --lora true --lora_dropout 1 => lora_dropout=1.0 must be at least 0 and below 1
labels --layerwise_learning_rate_decay nan => layerwise_learning_rate_decay=nan must be above 0 and at most 1
labels --early_stopping_patience 0 => early_stopping_patience=0 must be at least 1
labels --null_score_diff_threshold nan => null_score_diff_threshold=nan must be finite
labels --preprocessing_num_workers 0 => preprocessing_num_workers=0 must be at least 1
labels --max_seq_length 1 => max_seq_length=1 leaves no room for a text
labels --doc_stride 200 => doc_stride=200 must be below
labels --sweep '{"learning_rate": [-1]}' => learning_rate=-1 must be 0 or more
labels --sweep '{"learning_rate": []}' => learning_rate must be a list of values
labels --sweep '{"learning_rate": ["a"]}' => learning_rate cannot be 'a'
labels --sweep '{"learning_rat": [1]}' => 'learning_rat' is no training argument that can be swept
labels --class_weights '{"yes": NaN}' => class_weights
labels --class_weights '{"maybe": 1}' => class_weights
labels --class_weights balance => class_weights
evaluate blimp --pairs_file pairs.jsonl --limit 1.5 => limit=1.5 must be a share above 0 and below 1
evaluate blimp --pairs_file pairs.jsonl --per_device_eval_batch_size 0 => per_device_eval_batch_size=0 must be
evaluate choices --choices_file choices.jsonl --right_option -1 => right_option=-1 must be 0 or more
evaluate losses --validation_file text.txt --eval_seed -1 => eval_seed=-1 must be from 0 to 2**63 - 1
evaluate probe --train_file train.csv --validation_file dev.csv --C nan => C=nan must be above 0, and finite
evaluate probe --train_file train.csv --validation_file dev.csv --folds 1 => folds=1 must be at least 2
inspect --seed -1 => seed=-1 must be from 0 to 2**32 - 1
inspect --mask_ratio 1 => mask_ratio=1.0 must be above 0 and below 1
inspect --threshold 1 => threshold=1.0 must be above 0 and below 1
inspect --compare_with pair => compare_with: two pairs are shown side by side in a page
app --server_port 70000 => server_port=70000 must be from 1 to 65535
app --text '' => text '' is empty
soup --weights 1 -1 => weights=-1.0 must be 0 or more
soup --weights 1 nan => weights=nan must be 0 or more, and finite
soup --weights 0 0 => weights: all are 0
soup --weights 1 => weights: 1 are given for 2 ingredients
soup --method learned --max_evaluations 0 => max_evaluations=0 must be at least 1
soup --diagnose true --diagnose_points 0 => diagnose_points=0 must be at least 1
soup --score pretraining_loss --limit nan => limit=nan must be a share
convert pair out --num_attention_heads 0 => num_attention_heads=0 must be at least 1
convert pair out --mask_token_id -1 => mask_token_id=-1 must be 0 or more
# Fields of configurations
pretrain --config_overrides layer_norm_eps=0 => layer_norm_eps=0.0 must be above 0
pretrain --config_overrides layer_norm_eps=nan => layer_norm_eps=nan must be above 0, and finite
pretrain --config_overrides num_hidden_layers=2.5 => num_hidden_layers=2.5 must be at least 1, and whole
pretrain --config_overrides num_hidden_layers=two => 'num_hidden_layers' expected int, got str (value: 'two')
pretrain --config_overrides num_hidden_layers=0 => num_hidden_layers=0 must be at least 1
pretrain --config_overrides num_hidden_layers => 'num_hidden_layers' is not name=value
pretrain --config_overrides num_hiden_layers=2 => did you mean 'num_hidden_layers'?
pretrain --config_overrides hidden_size=[1 => 'hidden_size=[1' cannot be read
pretrain --config_overrides hidden_size=64,hidden_size=32 => hidden_size stands there twice
pretrain --config_overrides mask_ratio=.2 --mask_ratio .3 => mask_ratio stands there twice
pretrain --config_overrides mask_ratio=1 => mask_ratio=1 must lie between 0 and 1
pretrain --config_overrides hidden_dropout_prob=1 => hidden_dropout_prob=1 must be at least 0 and below 1
pretrain --config_overrides classifier_dropout=2 => classifier_dropout=2 must be at least 0 and below 1
pretrain --config_overrides initializer_range=-1 => initializer_range=-1.0 must be 0 or more
pretrain --config_overrides embedding_size=0 => embedding_size=0 must be at least 1
pretrain --config_overrides type_vocab_size=0 => type_vocab_size=0 must be at least 1
pretrain --config_overrides vocab_size=10 => the model's vocab_size is only 10
pretrain --config_overrides max_position_embeddings=3 => exceeds the model's max_position_embeddings=3
pretrain --config_overrides hidden_size=100,num_attention_heads=3 => hidden_size=100 must be a multiple
pretrain --config_overrides pad_token_id=5 => pad_token_id=5, but that of the tokenizer is 0
pretrain --config_overrides course_schedule=sample => course_schedule: there is no 'sample'
pretrain --config_overrides 'loss_weights={mlm: -1}' => loss_weights['mlm']=-1
pretrain --config_overrides loss_weights=3 => config_overrides
pretrain --config_overrides id2label=3 => 'id2label=3' is not name=value of a field
pretrain --config_overrides hidden_act=reluu => transformers has no 'reluu'
pretrain --config_overrides generator_prediction_layers=[9] => generator_prediction_layers=[9] must be layers
bert --config_overrides hidden_dropout_prob=1 => hidden_dropout_prob=1 must be at least 0 and below 1
bert --config_overrides generator_hidden_dropout_prob=1 => generator_hidden_dropout_prob=1 must be at least 0
bert --config_overrides vocab_size=0 => vocab_size=0 must be at least 1
bert --config_overrides num_hidden_layers=2.5 => num_hidden_layers=2.5 must be at least 1, and whole
pair --config_overrides hidden_size=64 => hidden_size=64, but in the weights to go on from it is 128
# What does not go together
pretrain --num_train_epochs 2 => max_steps and num_train_epochs both say how long the run is
pretrain --bf16 true --fp16 true => fp16=True: cpu trains in float32 or bfloat16 only
pretrain --load_best_model_at_end true --save_strategy no => load_best_model_at_end
pretrain --metric_for_best_model acc => metric_for_best_model: an evaluation has no 'acc'
pretrain --document_attention true --line_by_line true => document_attention does not go with line_by_line
pretrain --generator_warmup_steps 2 --ddp_find_unused_parameters false => ddp_find_unused_parameters=False does not go
pretrain --validation_file text.txt => validation_file 'text.txt' needs train_file
pretrain --dataset_config_name a => dataset_config_name 'a' needs dataset_name
pretrain --generator_init layers => generator_init='layers' starts the generator as a part
pretrain --generator_name_or_path bert => generator_name_or_path 'bert' alone
bert --model_name_or_path pair => backbone 'bert' is the shape of a new encoder
pair --discriminator_name_or_path bert => give one of them
text --train_file text.txt --streaming true --deduplicate true => streaming does not go with deduplicate
labels --load_best_model_at_end true --save_strategy no => load_best_model_at_end needs --save_strategy
labels --do_train false --do_eval false => nothing to do
labels --lora true --layerwise_learning_rate_decay 0.9 => layerwise_learning_rate_decay has no meaning beside lora
labels --prediction_loss_only true => prediction_loss_only=True: figures of a task
labels --dataset_name nothing => train_file 'train.csv' beside dataset_name
soup --method greedy --weights 1 1 => weights do not go with method=greedy
tokenizer --add_special_tokens true => tokenizer_name and add_special_tokens true belong together
plan --resume_from_checkpoint true => plan is for runs that begin
# Devices
labels --fp16 true => fp16=True: cpu trains in float32 or bfloat16 only
pretrain --tf32 true => tf32
evaluate losses --validation_file text.txt --dtype float16 => fp16=True: cpu trains in float32
labels --attn_implementation fast => attn_implementation="fast"
pretrain --attn_implementation flash_attention_2 => attn_implementation='flash_attention_2' cannot add
labels --device cuda:7 => unknown argument --device
# Text
text --train_file missing.txt => train_file: no such file: 'missing.txt'
text --train_file https://me:pw@host/a?token=b => train_file: no such file: 'https://host/a?token=***'
text --train_file empty.txt => train_file: 'empty.txt' is empty
text --train_file nothing => train_file: the directory 'nothing' holds no files of text
text --train_file binary.txt => 'binary.txt' is binary (a NUL byte at offset 8)
text --train_file unknown.dat => 'unknown.dat' looks like JSON
text --train_file broken.jsonl => 'broken.jsonl', line 2: not JSON at character 10
text --train_file train.csv --text_column sentence => text_column: 'train.csv' has no column 'sentence'
text --train_file short.txt --streaming true => validation_documents is 1000
text --train_file text.txt --validation_file missing.txt => validation_file: no such file: 'missing.txt'
text --train_file text.txt --text_errors loudly => invalid choice: 'loudly'
text --train_file text.txt --file_format txt => invalid choice: 'txt'
text --dataset_name missing/missing => dataset_name: 'missing/missing' is no directory here
text --dataset_name file => dataset_name: 'file' is a file; give it as train_file
text --dataset_name nothing => dataset_name: 'nothing'
tokenizer --train_file blank.txt => blank.txt
tokenizer --train_file text.txt --model bpe2 => invalid choice: 'bpe2'
tokenizer --train_file list.jsonl => list.jsonl
# Examples
finetune => no data for text_classification
finetune --task_name colla => unknown task 'colla'; did you mean cola?
finetune --train_file missing.csv => train_file: no such file: 'missing.csv'
finetune --train_file empty.txt => train_file: 'empty.txt' is empty
finetune --train_file header.csv => train_file: 'header.csv' has no rows
finetune --train_file ragged.csv => 'ragged.csv', line 2: row 2 has 3 fields where the header has 2
finetune --train_file twice.csv => 'twice.csv', line 1: the header names the column 'text' twice
finetune --train_file quote.csv => 'quote.csv', line 2: a quoted field is never closed
finetune --train_file list.jsonl => 'list.jsonl', row 1: no JSON object
finetune --train_file unknown.dat => 'unknown.dat' and all others must be JSON
finetune --train_file no_labels.csv => have no column 'label', only text
finetune --train_file one_label.csv => holds one label only, 'yes'
finetune --train_file empty_label.csv => has a row without a label
finetune --train_file train.csv --validation_file no_labels.csv => the validation data have no column 'label'
finetune --train_file train.csv --validation_file other_labels.csv => holds 'perhaps', not one of no, yes
finetune --train_file train.csv --dataset_name nothing => beside dataset_name
finetune --dataset_name nothing => dataset_name: 'nothing' has no train.jsonl
finetune --dataset_name a/b/c => the data set 'a/b/c' cannot be had here
labels --test_file missing.csv => test_file: no such file: 'missing.csv'
labels --do_predict true => test_file: do_predict needs the examples
labels --text_column_names sentence => have no column 'sentence', only text, label
labels --text_column_names a,b,c => text_column_names: one or two columns, not 3
labels --text_column_names text,label => text_column_names: 'label' is the column of the labels
labels --label_column_name text => text_column_names: 'text' is the column of the labels
labels --label_column_name lable => have no column 'lable'
labels --task_name regression => holds 'yes', not a number
labels --task_name token_classification => have no column 'tokens'
labels --task_name squad => have no column 'question'
labels --task_name cola sst2 => files are of one task
labels --metric_for_best_model acuracy --load_best_model_at_end true --save_strategy epoch => 'acuracy'
evaluate blim => unknown evaluation 'blim'; did you mean blimp?
evaluate blimp --pairs_file half_pairs.jsonl => has no column 'sentence_bad'
evaluate blimp --pairs_file pairs.jsonl --paradigm_column a => paradigm_column: 'pairs.jsonl' has no column 'a'
evaluate choices => choices_file: give files of choices
evaluate choices --choices_file bad_choices.jsonl => label holds 2, not the number of one of its 2 options
evaluate losses --validation_file missing.txt => validation_file: no such file: 'missing.txt'
soup --method weighted => score=pretraining_loss needs held-out text
soup --method weighted --score blimpp => score: there is no 'blimpp'
inspect --text '' => text '' is empty
inspect --courses rtd xyz => xyz
# Models and tokenizers
pretrain --tokenizer_name missing => tokenizer: 'missing' is no directory here
pretrain --tokenizer_name nothing => tokenizer: 'nothing' is a directory without a tokenizer
pretrain --tokenizer_name pair/config.json => tokenizer: 'pair/config.json' cannot be read
pretrain --model_name_or_path bert => model_name_or_path 'bert' is a 'bert' model, not a pair of this package
pretrain --model_name_or_path missing => model_name_or_path: 'missing' is no directory here
pretrain --model_name_or_path unknown_type => transformers has no model type 'bird'; did you mean 'big_bird'?
pretrain --backbone birt --tokenizer_name tokenizer => birt
pretrain --backbone gpt2 --tokenizer_name tokenizer => gpt2
pair --tokenizer_name other => other
pair --max_seq_length 1000 => max_seq_length=1000 exceeds the model's max_position_embeddings=128
pair --resume_from_checkpoint missing => resume_from_checkpoint=missing: there is no such folder
labels --model_name_or_path pare => did you mean 'pair'?
labels --model_name_or_path nothing => model_name_or_path: 'nothing' is a directory without a checkpoint
labels --model_name_or_path file => model_name_or_path: 'file'
labels --model_name_or_path '' => model_name_or_path: ''
labels --model_name_or_path a/b/c => model_name_or_path: 'a/b/c'
labels --model_name_or_path 'so bad' => model_name_or_path: 'so bad'
labels --model_name_or_path no_weights => 'no_weights' has no weights
labels --model_name_or_path broken_config => is damaged: it is no JSON
labels --lora true --lora_target_modules nothing => lora_target_modules: No modules were targeted
evaluate losses --validation_file text.txt --model_name_or_path bert => losses need a pair
evaluate blimp --pairs_file pairs.jsonl --update_card true => update_card: 'pair' is no folder with a model card
inspect --model_name_or_path bert => 'bert' is a 'bert' checkpoint; give a pair
export --model_name_or_path bert => 'bert' is a 'bert' model of transformers' own
export --format electra => format='electra', which 'native' is here
export --half left => invalid choice: 'left'
 soup pair bert --output_dir out => field model_type of the configurations differs
 soup pair missing --output_dir out => ingredient: 'missing' is no directory here
convert missing out => 'missing' is no checkpoint, no folder and no name on the Hub
convert nothing out => 'nothing' holds no fairseq checkpoint
# Where to
pretrain --output_dir file => output_dir 'file': cannot write: it is a file
pretrain --output_dir file/inside => output_dir 'file/inside': cannot write to
pretrain --output_dir /proc/out => output_dir '/proc/out': cannot write to '/proc'
pretrain --output_dir '' => output_dir '': cannot write: it has no name
pretrain --output_dir pair => output_dir pair holds another run (model.safetensors)
labels --output_dir file => output_dir 'file': cannot write: it is a file
labels --output_dir pair => output_dir pair holds a model
plan --find_learning_rate true --output_dir file => output_dir 'file': cannot write: it is a file
tokenizer --output_dir pair => output_dir 'pair' is not empty
tokenizer --output_dir /proc/out => output_dir '/proc/out': cannot write to '/proc'
evaluate blimp --pairs_file pairs.jsonl --output_dir file/out => output_dir 'file/out': cannot write to
soup --output_dir pair/inside => output_dir 'pair/inside' lies inside the ingredient 'pair'
export --output_dir pair => output_dir 'pair' is not an empty folder
export --output_dir /proc/out => output_dir '/proc/out': cannot write to '/proc'
convert pair file => output_dir 'file' is not an empty folder
"""


def _cases() -> list[tuple[str, str, str]]:
    lines = (line for line in _LINES.splitlines() if line and not line.startswith("#"))
    cases = []
    for line in lines:
        words, said = line.rsplit(" => ", 1)
        beginning, _, more = words.partition(" ")
        cases.append((beginning, more, said))
    return cases


CASES: list[tuple[str, str, str]] = _cases()
"""Of each input: what stands before it, a key of `BEGINNINGS`; the input; and words of the error."""


def write_inputs(folder: Path) -> None:
    """Files and models of all kinds, good ones and bad ones."""
    write_text_and_tokenizer(folder)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    config = MclConfig.tiny(vocab_size=len(tokenizer), num_hidden_layers=1, generator_num_hidden_layers=1, **ids)
    MclForPreTraining(config).save_pretrained(folder / "pair")
    sizes: Any = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes)
    BertForMaskedLM(bert).save_pretrained(folder / "bert")
    config.save_pretrained(folder / "no_weights")
    for name in ("pair", "bert", "no_weights"):
        tokenizer.save_pretrained(folder / name)
    shutil.copytree(folder / "pair", folder / "full")
    (folder / "other").mkdir()
    special = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]  # in another order
    (folder / "other" / "vocab.txt").write_text("\n".join([*special, "the", "chef"]), encoding="utf-8")
    for name, text in _texts().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "binary.txt").write_bytes(b"the chef\0cooked\n" * 10)
    (folder / "latin.yaml").write_bytes(b"run_name: caf\xe9\n")
    (folder / "nothing").mkdir()


def _texts() -> dict[str, str]:
    rows = "the chef cooked,yes\nwe ate a meal,no\nby the sea,yes\nin one evening,no\n"
    return {
        "unknown_type/config.json": '{"model_type": "bird"}',
        "broken_config/config.json": '{"model_type":',
        "train.csv": f"text,label\n{rows}",
        "dev.csv": f"text,label\n{rows}",
        "other_labels.csv": f"text,label\n{rows.replace('no', 'perhaps')}",
        "no_labels.csv": "text\nthe chef cooked\nwe ate\n",
        "one_label.csv": f"text,label\n{rows.replace('no', 'yes')}",
        "empty_label.csv": f"text,label\n{rows}by the sea,\n",
        "header.csv": "text,label\n",
        "ragged.csv": "text,label\nthe chef, cooked,yes\nwe ate,no\n",
        "twice.csv": "text,text,label\na,b,yes\n",
        "quote.csv": 'text,label\n"the chef,yes\n',
        "broken.jsonl": '{"text": "the chef cooked a meal"}\n{"text": \n',
        "list.jsonl": '["the chef"]\n',
        "pairs.jsonl": json.dumps({"sentence_good": "the chef", "sentence_bad": "chef the", "UID": "a"}),
        "half_pairs.jsonl": json.dumps({"sentence_good": "the chef"}),
        "choices.jsonl": json.dumps({"context": "the", "options": ["chef", "sea"], "label": 0}),
        "bad_choices.jsonl": json.dumps({"context": "the", "options": ["chef", "sea"], "label": 2}),
        "empty.txt": "",
        "blank.txt": " \n\n \n",
        "short.txt": "the chef\n",
        "file": "a file",
        "unknown.dat": '{"text": "a"}\n',
        "unknown_key.yaml": "learning_rat: 1e-4\n",
        "wrong_type.yaml": "learning_rate: fast\n",
        "list_for_one.yaml": "learning_rate: [1e-4, 1e-5]\n",
        "mapping_for_one.yaml": "learning_rate: {a: 1}\n",
        "null.yaml": "learning_rate:\n",
        "twice.yaml": "seed: 1\nseed: 2\n",
        "list.yaml": "- seed\n",
        "empty.yaml": "",
        "broken.yaml": "seed: [1\n",
        "broken.json": '{"seed": 1,, }',
        "tag.yaml": "seed: !!python/object/apply:os.system ['true']\n",
        "range.yaml": "weight_decay: -1\n",
    }
