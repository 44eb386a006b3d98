"""Gradients of small models, as PyTorch's autograd has them in float64.

    python make_gradients.py [NAME...]      (of runtime/ and families/; writes below gradients/)

Of the batch of a model's reference.safetensors, the mean over its rows of

    1.5^2 KL(t || s) + 0.2 * -log s[label]

s of the model's logits, and t of half the reference's, moved on by one token, at temperature 1.5 (the last at 1);
a row's label is (7 token + 3) mod vocabulary. For each parameter: the norm of its gradient, and elements 0, k, 2 k ...
of it, k as small as leaves 16. float64 in the place of float32 as in make_reference.py.

Written with transformers 4.57.1, torch 2.15.0, safetensors 0.8.0, numpy 2.4.6.
"""
import os
import sys

import numpy as np
import safetensors.numpy
import torch

import make_encoder_decoders
import make_families
import make_frames
import make_reference as made

MODELS = ["runtime/llama", "runtime/llama-grouped", "runtime/mistral", "runtime/gpt2", "runtime/gpt_neox",
          "runtime/t5-v1_0", "runtime/t5-v1_1", "runtime/umt5", "families/qwen3-grouped", "families/gemma2",
          "families/phi-norms", "families/cohere", "families/falcon", "families/mixtral", "families/qwen2_moe",
          "families/granitemoe", "families/phimoe", "families/switch_transformers",
          "families/olmoe-clip", "families/mpt-clip", "families/apertus",
          "families/blenderbot_small", "families/whisper", "families/speech_to_text", "families/trocr", "families/bert-decoder", "families/roberta-decoder",
          "families/musicgen", "families/gpt2-cross", "families/t5gemma", "families/udop", "families/bloom-normed", "families/chatglm",
          "families/longt5", "families/longt5-global", "families/nllb_moe",
          "families/nllb_moe-bias", "families/donut", "families/ernie4_5_moe", "families/dots1",
          "families/granitemoeshared", "families/switch_transformers-full", "families/gpt_oss", "families/hunyuan",
          "families/hunyuan-moe"]
ENCODER_DECODERS = ["families/switch_transformers", "families/switch_transformers-full", "families/blenderbot_small", "families/udop", "families/longt5",
                    "families/longt5-global", "families/nllb_moe", "families/nllb_moe-bias"]
TEMPERATURE, LABELS, ELEMENTS = 1.5, 0.2, 16


def loss_of(logits, teacher, tokens, lengths):
    vocab = logits.shape[-1]
    real = made.mask(lengths).bool()
    s, t = logits[real], torch.roll(teacher, 1, -1)[real] / 2
    labels = (tokens[real] * 7 + 3) % vocab
    log_s, log_t = torch.log_softmax(s / TEMPERATURE, -1), torch.log_softmax(t / TEMPERATURE, -1)
    kl = TEMPERATURE**2 * (log_t.exp() * (log_t - log_s)).sum(-1)
    return (kl + LABELS * torch.nn.functional.cross_entropy(s, labels, reduction="none")).mean()


def frames_of(name):
    """How a model that reads frames is run."""
    return make_frames.MODELS.get(os.path.basename(name), (None, None))[1]


def loader_of(name):
    if frames_of(name):
        return make_frames
    if name.startswith("runtime"):
        return made
    return make_encoder_decoders if name in ENCODER_DECODERS else make_families


def run_each(model, run, data):
    """Sequence by sequence, as make_frames.py."""
    logits = torch.zeros_like(data["logits"])
    for s, (n, m) in enumerate(zip(data["lengths"].tolist(), data["decoder_lengths"].tolist())):
        logits[s, :m] = run(model, data["input_ids"][s, :n], data["decoder_input_ids"][s:s + 1, :m])[0][0]
    return logits


def run_whole(name, model, data):
    inputs = {"input_ids": data["input_ids"], "attention_mask": made.mask(data["lengths"].tolist())}
    if "decoder_input_ids" in data:
        inputs.update(decoder_input_ids=data["decoder_input_ids"],
                      decoder_attention_mask=made.mask(data["decoder_lengths"].tolist()))
    if name == "families/udop":  # all of the text lies in one place of the page
        inputs["bbox"] = torch.zeros(*data["input_ids"].shape, 4)
    return model(use_cache=False, **inputs).logits


def gradients(name):
    data = {key: torch.from_numpy(value) for key, value in
            safetensors.numpy.load_file(os.path.join(name, "reference.safetensors")).items()}
    model = loader_of(name).load(name)
    learnt = dict(model.named_parameters())
    if hasattr(model, "final_logits_bias"):  # no parameter there, but one here
        learnt["final_logits_bias"] = model.final_logits_bias.requires_grad_()
    for key, parameter in learnt.items():
        if key.endswith("embed_positions.weight"):  # Whisper freezes its encoder's
            parameter.requires_grad_()
    side = "decoder_" if "decoder_input_ids" in data else ""
    lengths, tokens = data[side + "lengths"].tolist(), data[side + "input_ids"]
    with made.in_doubles():
        run = frames_of(name)
        logits = run_each(model, run, data) if run else run_whole(name, model, data)
        real = made.mask(lengths)[..., None].bool()
        assert torch.allclose(torch.where(real, logits, 0.0), data["logits"], rtol=1e-12, atol=1e-12), name
        loss = loss_of(logits, data["logits"], tokens, lengths)
        loss.backward()
    out = {"loss": np.array([loss.item()])}
    alone = any(hasattr(model, part) for part in ("transformer", "bert", "roberta"))
    of_whole = model.config.is_decoder and not alone  # whose picture is not looked at
    prefix = "decoder." if of_whole else ""
    for key, parameter in learnt.items():
        if parameter.grad is None and "expert" not in key:  # a bias that the model does not use
            continue
        if ".relative_bias.biases." in key:  # UDOP's of distances on the page: all alike, and nothing to a softmax
            continue
        if "lm_heads" in key and not parameter.grad.any():  # of codes that the loss does not see
            continue
        # An expert that no row has is not even run.
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        all_of_it = grad.detach().numpy().reshape(-1)
        step = -(-len(all_of_it) // ELEMENTS)
        out[prefix + key] = np.concatenate([[np.linalg.norm(all_of_it)], all_of_it[::step]])
    path = os.path.join("gradients", os.path.basename(name) + ".safetensors")
    safetensors.numpy.save_file(out, path)
    os.chmod(path, 0o644)


def main():
    # Not without gradients, and no streams.
    made.run = lambda model, **inputs: (model(use_cache=False, **inputs).logits, None)
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    for name in sys.argv[1:] or MODELS:
        gradients(name)


if __name__ == "__main__":
    main()
