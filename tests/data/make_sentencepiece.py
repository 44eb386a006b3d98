"""Write sentencepiece/: small models of SentencePiece, of the two kinds.

    python make_sentencepiece.py

Written with sentencepiece 0.2.3.
"""
import io
import os

import sentencepiece

TEXT = ["the heads of keys and values", "the group of heads that share keys", "values of the keys are shared"] * 40

os.makedirs("sentencepiece", exist_ok=True)
for kind, size in (("bpe", 48), ("unigram", 30)):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT), model_writer=model, vocab_size=size,
                                             model_type=kind, user_defined_symbols=["<sep>"], num_threads=1,
                                             normalization_rule_name="identity", remove_extra_whitespaces=False)
    with open(f"sentencepiece/{kind}.model", "wb") as file:
        file.write(model.getvalue())
