"""Write bpe/tokenizer.json: a small tokenizer of bytes that are merged, as GPT-2's.

    python make_bpe.py

Written with tokenizers 0.22.2.
"""
import os

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = ["the heads of keys and values", "the group of heads that share keys", "values of the keys are shared"] * 40

os.makedirs("bpe", exist_ok=True)
made = Tokenizer(models.BPE())
made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
made.decoder = decoders.ByteLevel()
made.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=50, special_tokens=["<|endoftext|>"], show_progress=False))
made.save("bpe/tokenizer.json", pretty=False)
