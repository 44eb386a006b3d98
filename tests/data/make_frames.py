"""Small models that hear, or look back at what another model makes, and what transformers computes of drawn frames.

    python make_frames.py [NAME...]                   (writes below families/)

As make_encoder_decoders.py, whose way of saving this shares. A token of an encoder's input stands for frames that are
drawn by its number, as runtime/frames.h says. Each sequence is run by itself: what follows its end is nobody's.

Written with transformers 4.57.1, torch 2.7.1, safetensors 0.8.0, numpy 2.4.6.
"""
import json
import os
import sys

import numpy as np
import safetensors.numpy
import torch
import transformers as tr

import make_encoder_decoders as text
import make_families
import make_reference as made
from drawn_frames import drawn

VOCAB = text.VOCAB
LENGTHS, DECODER_LENGTHS = [6, 1, 4], [5, 3, 1]


# Frames

def frames(ids, per_position, width):
    """[1, frames, width]"""
    return torch.from_numpy(np.concatenate([drawn(t, per_position * width) for t in ids.tolist()])
                            .reshape(1, -1, width))


# Models

def repeat_heads(key, value, heads, times):
    """As make_families's, of GPT-2's keys and values that look back."""
    if ".crossattention.c_attn." in key:
        for half in np.split(value, 2, -1):
            view = half.reshape(-1, heads, half.shape[-1] // heads)
            for h in range(heads):
                view[:, h] = view[:, h - h % times]
    elif ".crossattention." not in key:
        original(key, value, heads, times)


def whisper(name):
    text.save(name, "Whisper", vocab_size=VOCAB, num_mel_bins=3, d_model=16, encoder_layers=1, decoder_layers=2,
              encoder_ffn_dim=19, decoder_ffn_dim=19, encoder_attention_heads=4, decoder_attention_heads=4,
              max_source_positions=10, max_target_positions=12, pad_token_id=0, bos_token_id=1, eos_token_id=2,
              decoder_start_token_id=3, repeat=2)


def speech_to_text(name):
    text.save(name, "Speech2Text", vocab_size=VOCAB, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=19,
              decoder_ffn_dim=19, encoder_attention_heads=4, decoder_attention_heads=4, max_source_positions=10,
              max_target_positions=12, conv_channels=8, input_feat_per_channel=4, repeat=2)


def trocr(name):
    encoder = tr.ViTConfig(hidden_size=12, intermediate_size=13, num_hidden_layers=1, num_attention_heads=2,
                           image_size=8, patch_size=4)
    decoder = tr.TrOCRConfig(vocab_size=VOCAB, d_model=16, decoder_layers=2, decoder_attention_heads=4,
                                  decoder_ffn_dim=19, max_position_embeddings=12, cross_attention_hidden_size=12,
                             is_decoder=True, add_cross_attention=True)
    text.write(name, tr.VisionEncoderDecoderModel(
        tr.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)), repeat=2)


def trocr_sinusoidal(name):
    """By itself, with positions that are computed, as those of lines that are printed have them."""
    text.write(name, tr.TrOCRForCausalLM(tr.TrOCRConfig(
        vocab_size=VOCAB, d_model=16, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=19,
        max_position_embeddings=12, cross_attention_hidden_size=12, use_learned_position_embeddings=False,
        scale_embedding=True, layernorm_embedding=False, activation_function="relu", is_decoder=True)), repeat=2)


def musicgen(name):
    text.write(name, tr.MusicgenForCausalLM(tr.MusicgenDecoderConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, ffn_dim=19, num_codebooks=2,
        max_position_embeddings=12, pad_token_id=VOCAB, bos_token_id=VOCAB)), repeat=2)


def gpt2(name):
    text.save(name, "GPT2", model="LMHeadModel", vocab_size=VOCAB, n_positions=12, n_embd=16, n_layer=2, n_head=4,
              add_cross_attention=True, bos_token_id=1, eos_token_id=2, repeat=2)


def decoder_config(family, **more):
    """Of the decoder of an encoder-decoder, by itself."""
    return getattr(tr, family + "Config")(**{**dict(
        vocab_size=VOCAB, d_model=16, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=19,
        encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=7, max_position_embeddings=12, is_decoder=True,
        is_encoder_decoder=False, add_cross_attention=True), **more})


def donut(name):
    """With a projection between the two, which is the whole's."""
    encoder = tr.DonutSwinConfig(image_size=8, patch_size=2, embed_dim=6, depths=[1, 1], num_heads=[1, 2], window_size=2)
    text.write(name, tr.VisionEncoderDecoderModel(tr.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder_config("MBart", scale_embedding=True, add_final_layer_norm=True))), repeat=2)


def speech(name):
    encoder = tr.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=13, conv_dim=(8,),
        conv_stride=(5,), conv_kernel=(10,), num_feat_extract_layers=1, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2)
    text.write(name, tr.SpeechEncoderDecoderModel(tr.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder_config("Bart", decoder_start_token_id=2))), repeat=2)


def xglm(name):
    text.write(name, tr.XGLMForCausalLM(tr.XGLMConfig(
        vocab_size=VOCAB, d_model=16, num_layers=2, attention_heads=4, ffn_dim=19, max_position_embeddings=12,
        is_decoder=True, add_cross_attention=True)), repeat=2)


class First(torch.nn.Module):
    """The first n rows of an embedding."""

    def __init__(self, whole, n):
        super().__init__()
        self.whole, self.num_embeddings = [whole], n

    def forward(self, positions):
        return self.whole[0](positions)


def run_whisper(model, ids, decoder_ids):
    encoder = model.model.encoder
    whole, most = encoder.embed_positions, encoder.config.max_source_positions
    # It takes inputs of one length alone; others are its first positions.
    encoder.embed_positions = First(whole, len(ids))
    encoder.config.max_source_positions = len(ids)
    try:
        return made.run(model, input_features=frames(ids, 2, model.config.num_mel_bins).transpose(1, 2),
                        decoder_input_ids=decoder_ids)
    finally:
        encoder.embed_positions, encoder.config.max_source_positions = whole, most


def whisper_encoder(name):
    text.save(name, "Whisper", model="ForAudioClassification", vocab_size=VOCAB, num_mel_bins=3, d_model=16,
              encoder_layers=2, encoder_ffn_dim=19, encoder_attention_heads=4, max_source_positions=10, pad_token_id=0,
              bos_token_id=1, eos_token_id=2, decoder_start_token_id=3, classifier_proj_size=5, num_labels=3, repeat=2)


def run_whisper_encoder(model, ids):
    """Of an encoder alone: its last hidden state, and the stream after each layer."""
    whole, most = model.encoder.embed_positions, model.config.max_source_positions
    model.encoder.embed_positions = First(whole, len(ids))
    model.config.max_source_positions = model.encoder.config.max_source_positions = len(ids)
    hidden = []
    hooks = [layer.register_forward_hook(lambda _, __, out: hidden.append(out[0])) for layer in model.encoder.layers]
    with torch.no_grad():
        rows = model.encoder(frames(ids, 2, model.config.num_mel_bins).transpose(1, 2)).last_hidden_state
    for hook in hooks:
        hook.remove()
    model.encoder.embed_positions = whole
    model.config.max_source_positions = model.encoder.config.max_source_positions = most
    return rows, torch.stack(hidden)


def reference_of_encoder(name):
    model = tr.WhisperForAudioClassification.from_pretrained(
        os.path.join("families", name), dtype=torch.float64, attn_implementation="eager").eval()
    with made.in_doubles():
        ids, rows = made.tokens(name, LENGTHS, VOCAB), torch.zeros(len(LENGTHS), max(LENGTHS), model.config.d_model)
        hidden = torch.zeros(model.config.encoder_layers, *rows.shape)
        for s, n in enumerate(LENGTHS):
            some, stream = run_whisper_encoder(model, ids[s, :n])
            rows[s, :n], hidden[:, s, :n] = some[0], stream.reshape(len(hidden), n, -1)
    text.keep(name, {"input_ids": ids, "lengths": torch.tensor(LENGTHS), "last_hidden_state": rows, "hidden": hidden})


def run_speech_to_text(model, ids, decoder_ids):
    width = model.config.input_feat_per_channel * model.config.input_channels
    return made.run(model, input_features=frames(ids, 2**model.config.num_conv_layers, width),
                    decoder_input_ids=decoder_ids)


def run_decoder(model, ids, decoder_ids):
    width = getattr(model.config, "cross_attention_hidden_size", None) or model.config.hidden_size
    return made.run(model, input_ids=decoder_ids, encoder_hidden_states=frames(ids, 1, width))


def run_musicgen(model, ids, decoder_ids):
    n = model.config.num_codebooks
    # [codes, len, vocab]: those of the first
    logits, hidden = run_decoder(model, ids, decoder_ids.repeat(n, 1))
    return logits[:1], hidden


def t5gemma(name):
    keys = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=19, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, head_dim=6, max_position_embeddings=24, sliding_window=3,
                query_pre_attn_scalar=24, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    text.write(name, tr.T5GemmaForConditionalGeneration(tr.T5GemmaConfig(
        encoder={**keys, "hidden_size": 12, "num_hidden_layers": 1},
        decoder={**keys, "cross_attention_hidden_size": 12}, vocab_size=VOCAB, bos_token_id=1)), repeat=2)


def run_t5gemma(model, ids, decoder_ids):
    """Its decoder alone, which looks back at rows that are drawn."""
    return made.run(model, encoder_outputs=tr.modeling_outputs.BaseModelOutput(
                        frames(ids, 1, model.config.encoder.hidden_size)),
                    attention_mask=torch.ones(1, len(ids)), decoder_input_ids=decoder_ids)


MODELS = {
    "whisper": (whisper, run_whisper), "speech_to_text": (speech_to_text, run_speech_to_text),
    "t5gemma": (t5gemma, run_t5gemma),
    "trocr": (trocr, run_decoder), "trocr_sinusoidal": (trocr_sinusoidal, run_decoder),
    "musicgen": (musicgen, run_musicgen), "gpt2-cross": (gpt2, run_decoder),
    "donut": (donut, run_decoder), "speech-bart": (speech, run_decoder), "xglm-cross": (xglm, run_decoder),
    "marian-decoder": (lambda n: text.write(n, tr.MarianForCausalLM(decoder_config(
        "Marian", pad_token_id=0, decoder_start_token_id=3)), repeat=2), run_decoder),
    "bert-decoder": (lambda n: text.write(n, tr.BertLMHeadModel(tr.BertConfig(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=19, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=24, is_decoder=True, add_cross_attention=True, bos_token_id=1, eos_token_id=2))),
        run_decoder),
    "bigbird_pegasus-decoder": (lambda n: text.write(n, tr.BigBirdPegasusForCausalLM(decoder_config(
        "BigBirdPegasus", pad_token_id=0, decoder_start_token_id=3, use_bias=True)), repeat=2), run_decoder),
}


def load(folder):
    with open(os.path.join(folder, "config.json")) as file:
        kind = json.load(file)["model_type"]
    auto = {"whisper": tr.AutoModelForSpeechSeq2Seq, "speech_to_text": tr.AutoModelForSpeechSeq2Seq,
            "vision-encoder-decoder": tr.VisionEncoderDecoderModel,
            "speech-encoder-decoder": tr.SpeechEncoderDecoderModel,
            "musicgen_decoder": tr.MusicgenForCausalLM,
            "t5gemma": tr.T5GemmaForConditionalGeneration}.get(kind, tr.AutoModelForCausalLM)
    model = auto.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    model = model.decoder if kind.endswith("-encoder-decoder") else model
    with made.in_doubles():
        for module in model.modules():
            if hasattr(module, "rotary_emb"):
                module.rotary_emb = type(module.rotary_emb)(module.config)
            if isinstance(module, tr.models.speech_to_text.modeling_speech_to_text
                          .Speech2TextSinusoidalPositionalEmbedding):
                module.make_weights(*module.weights.shape, module.padding_idx)
            elif hasattr(module, "make_weights"):
                module.make_weights(*module.weights.shape)
            elif hasattr(module, "_float_tensor"):  # TrOCR's, which follow its type
                module.weights = module.get_embedding(*module.weights.shape, module.padding_idx)
                module._float_tensor = torch.zeros(1)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert tensor.dtype in (torch.float64, torch.bool, torch.int64), (name, tensor.dtype)
    return model


def blocks_of(model):
    if hasattr(model, "bert"):
        return model.bert.encoder.layer
    base = model.model if hasattr(model, "model") else model.base_model
    base = getattr(base, "decoder", base)
    return base.h if hasattr(base, "h") else base.layers


def greedy(model, run, ids, start):
    said, margin = [start], np.inf
    for _ in range(made.GREEDY):
        logits, _ = run(model, ids, torch.tensor([said]))
        best = logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        said.append(int(best.indices[0]))
    assert margin > 1e-4, f"two tokens {margin} apart: float32 might choose the other"
    return torch.tensor(said[1:])


def start_of(config):
    for key in ("decoder_start_token_id", "bos_token_id"):
        if getattr(config, key, None) is not None:
            return getattr(config, key)


def reference(name, run):
    model = load(os.path.join("families", name))
    with made.in_doubles():
        start = start_of(model.config)
        ids, decoder_ids = made.tokens(name, LENGTHS, VOCAB), made.tokens(name + "/decoder", DECODER_LENGTHS, VOCAB)
        decoder_ids[:, 0] = start
        each = [run(model, ids[s, :n], decoder_ids[s:s + 1, :m])
                for s, (n, m) in enumerate(zip(LENGTHS, DECODER_LENGTHS))]
        most = max(DECODER_LENGTHS)
        logits = torch.zeros(len(each), most, VOCAB)
        hidden = torch.zeros(len(each[0][1]), len(each), most, each[0][1].shape[-1])
        for s, (some, stream) in enumerate(each):
            logits[s, :some.shape[1]] = some[0]
            hidden[:, s, :some.shape[1]] = stream[:, 0]
        data = {"input_ids": ids, "lengths": torch.tensor(LENGTHS), "decoder_input_ids": decoder_ids,
                "decoder_lengths": torch.tensor(DECODER_LENGTHS), "logits": logits, "hidden": hidden,
                "greedy": greedy(model, run, ids[0, :LENGTHS[0]], start)}
    assert torch.isfinite(logits).all() and torch.isfinite(hidden).all()
    path = os.path.join("families", name, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value.numpy()) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


original = make_families.repeat_heads


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    made.blocks_of, make_families.repeat_heads = blocks_of, repeat_heads
    for name in sys.argv[1:] or [*MODELS, "whisper-encoder"]:
        if name == "whisper-encoder":
            whisper_encoder(name)
            reference_of_encoder(name)
            continue
        make, run = MODELS[name]
        make(name)
        reference(name, run)


if __name__ == "__main__":
    main()
