/* Descriptions of families: what is read of one, what is refused and where,
 * what is inherited, and which family a model is of. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/families/load.h"
#include "formats/families/locate.h"
#include "formats/model/network.h"
#include "formats/model/regroup.h"
#include "scratch.h"
#include "suite.h"

/* A whole description, one key a line; tests change a line of it. */
static const char whole[] =
    "{\n"
    "\"family\": \"mine\",\n"
    "\"model_types\": {\"mine\": {}},\n"
    "\"config\": {\"n_heads\": \"heads\"},\n"
    "\"names\": {\"prefixes\": [\"model.\", \"\"],\n"
    "\"embedding\": \"embed\",\n"
    "\"unembedding\": \"head\"},\n"
    "\"norm\": {\"kind\": \"rms\", \"eps\": 1e-5},\n"
    "\"positions\": {\"scheme\": \"none\"},\n"
    "\"stacks\": {\"decoder\": {\"layers\": \"layers.%\",\n"
    "\"self\": {\"module\": \"attn\",\n"
    "\"q\": \"q\", \"k\": \"k\", \"v\": \"v\", \"o\": \"o\",\n"
    "\"layout\": \"separate\"},\n"
    "\"feed_forward\": {\"plain\": \"up\", \"down\": \"down\",\n"
    "\"activation\": \"relu\"}\n"
    "}},\n"
    "\"logits\": {\"tied\": false},\n"
    "\"initialiser\": {\"key\": \"std\", \"default\": 0.02}\n"
    "}\n";

/* `whole` with one of its parts replaced. */
static const char *changed(const char *part, const char *by)
{
    static char text[8192];
    const char *at = strstr(whole, part);

    ck_assert_msg(at != NULL, "there is no '%s'", part);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, by,
             at + strlen(part));
    return text;
}

static enum gqa_status parse(struct gqa_family **out, const char *text,
                             const char *model_type)
{
    return gqa_family_parse(out, &gqa_builtin_families, "mine.json", text,
                            strlen(text), model_type);
}

struct refusal {
    const char *part, *by, *says;
};

static const struct refusal refusals[] = {
    /* Not JSON, no object, none at all */
    {"{\n\"family\"", "{\n'family'", "(line 2, column 1)"},
    {"\"family\": \"mine\"", "\"family\": \"mine\", \"family\": \"mine\"",
     "mine.json: not valid JSON: duplicate object key near '\"family\"' (line "
     "2, "},
    /* Keys */
    {"\"logits\"", "\"logit\"",
     "mine.json:17: key 'logit': no such key is known; did you mean 'logits'?"},
    {"\"tied\": false", "\"tied\": false, \"zzz\": 1",
     "mine.json:17: key 'logits.zzz': no such key is known"},
    {"\"v\": \"v\", ", "",
     "mine.json:11: key 'stacks.decoder.self.v': is missing"},
    {"\"initialiser\"", "\"stock\": {\"grouped\": \"none\"},\n\"refuse\"",
     "mine.json:19: key 'refuse'"},
    {"\"family\": \"mine\",\n", "", "mine.json:1: key 'family': is missing"},
    {"\"model_types\": {\"mine\": {}}", "\"model_types\": {}",
     "mine.json:3: key 'model_types': must be an object of 1 to 64"},
    {"\"mine\": {}", "\"mine\": 3",
     "mine.json:3: key 'model_types.mine': must be an object"},
    {"\"mine\": {}", "\"mine\": {\"like\": \"llama\"}",
     "key 'model_types.mine.like': belongs to the whole file"},
    {"\"mine\": {}", "\"mine\": {\n\"norm\": {\n\"epsilon\": 1}}",
     "mine.json:5: key 'model_types.mine.norm.epsilon': no such key"},
    /* Types and values */
    {"\"embed\"", "3", "mine.json:6: key 'names.embedding': 3 is not a text"},
    {"\"embed\"", "\"\"", "key 'names.embedding': \"\" is not a text"},
    {"[\"model.\", \"\"]", "[\"model.\", 7]",
     "mine.json:5: key 'names.prefixes[1]': 7 is not a text"},
    {"[\"model.\", \"\"]", "[]", "key 'names.prefixes': a list of 0; 1 to 32"},
    {"\"rms\"", "\"rsm\"",
     "mine.json:8: key 'norm.kind': 'rsm' is not known; did you mean 'rms'?"},
    {"1e-5", "-1", "key 'norm.eps': -1 is not a number from 0 on"},
    {"1e-5", "{\"keys\": \"e\"}",
     "key 'norm.eps.keys': no such part of a setting is known; did you mean "
     "'key'?"},
    {"1e-5", "{\"default\": 1}", "key 'norm.eps': the setting has no \"key\""},
    {"1e-5", "{\"key\": \"e\", \"default\": \"x\"}",
     "key 'norm.eps.default': \"x\" is not a number from 0 on"},
    {"1e-5", "{\"key\": \"e\", \"map\": {\"a\": -1}}",
     "key 'norm.eps.map.a': -1 is not a number from 0 on"},
    {"1e-5", "{\"key\": \"e\", \"map\": {}}",
     "key 'norm.eps.map': must be an object of 1 to 64"},
    {"1e-5", "{\"key\": []}", "key 'norm.eps.key': a list of 0"},
    {"1e-5", "{\"key\": \"e\", \"default\": {\"key\": \"f\", \"default\": -1}}",
     "key 'norm.eps.default.default': -1 is not a number from 0 on"},
    {"1e-5", "{\"key\": \"e\", \"map\": {\"a\": {\"default\": 1}}}",
     "key 'norm.eps.map.a': the setting has no \"key\""},
    {"1e-5",
     "{\"key\": \"e\", \"default\": {\"key\": \"e\", \"default\": {\"key\": "
     "\"e\", \"default\": {\"key\": \"e\", \"default\": {\"key\": \"e\"}}}}}",
     "more than 4 settings lie in each other"},
    {"\"tied\": false", "\"tied\": 1",
     "key 'logits.tied': 1 is not true or false"},
    {"{\"plain\": \"up\"", "{\"bias\": {\"up\": \"maybe\"}, \"plain\": \"up\"",
     "key 'stacks.decoder.feed_forward.bias.up': \"maybe\" is not true, false "
     "or \"optional\""},
    {"\"layout\": \"separate\"", "\"layout\": \"separate\", \"positions\": 1",
     "key 'stacks.decoder.self.positions': 1 is not true or false"},
    {"\"stacks\": {\"decoder\": {", "\"stacks\": {\"decoder\": 1,\n\"x\": {",
     "key 'stacks.decoder': 1 is not an object"},
    /* Patterns */
    {"layers.%", "layers",
     "mine.json:10: key 'stacks.decoder.layers': "
     "'layers' must have one '%'"},
    {"layers.%", "layers.%.%", "must have one '%'"},
    {"\"attn\"", "\"attn.%\"",
     "mine.json:11: key 'stacks.decoder.self.module': 'attn.%'"},
    /* Names in a program that is written */
    {"\"initialiser\"",
     "\"stock\": {\"grouped\": \"none\",\n\"remote_code\": "
     "{\"AutoConfig\": \"T5Config\"}},\n\"initialiser\"",
     "mine.json:19: key 'stock.remote_code.AutoConfig': is no Auto class of "
     "models"},
    {"\"initialiser\"",
     "\"stock\": {\"grouped\": \"none\", \"remote_code\": "
     "{\"AutoModel\": \"T5Model)\\nimport os\"}},\n\"initialiser\"",
     "key 'stock.remote_code.AutoModel': has to be the name of a class"},
    {"\"initialiser\"",
     "\"stock\": {\"grouped\": \"none\", \"remote_code\": "
     "{\"AutoModel\": 5}},\n\"initialiser\"",
     "key 'stock.remote_code.AutoModel': has to be the name of a class"},
    {"\"initialiser\"",
     "\"stock\": {\"grouped\": \"uniform\", \"remote_code\": "
     "{\"AutoModel\": \"T5Model\"}},\n\"initialiser\"",
     "key 'stock.remote_code': is for families of which \"grouped\" is "
     "\"none\""},
    /* Contradictions */
    {"\"mine\",", "\"My family\",",
     "key 'family': 'My family' has other characters"},
    {"\"kind\": \"rms\"", "\"kind\": \"rms\", \"bias\": true",
     "key 'norm.bias': an RMS norm has no bias"},
    {"\"kind\": \"rms\"",
     "\"kind\": \"rms\", \"one_plus\": true, \"weight\": false",
     "key 'norm.one_plus': has no weight"},
    {"\"none\"", "\"none\", \"theta\": 1",
     "key 'positions.theta': belongs to another scheme"},
    {"\"none\"", "\"none\", \"alpha\": 2",
     "key 'positions.alpha': belongs to another scheme"},
    {"\"none\"", "\"none\", \"at_end\": true",
     "key 'positions.at_end': belongs to another scheme"},
    {"\"stacks\": {\"decoder\": {",
     "\"stacks\": {\"decoder\": {\"residual_normed\": -1, ",
     "key 'stacks.decoder.residual_normed': "},
    {"\"none\"", "\"rope\", \"theta\": 1, \"slopes_scaled\": true",
     "key 'positions.slopes_scaled': belongs to another scheme"},
    {"\"none\"", "\"rope\", \"theta\": 1, \"share\": 0.5, \"dims\": 4",
     "key 'positions.dims': says how much of a head is rotated, and 'share' "
     "does too"},
    {"\"layout\": \"separate\"",
     "\"layout\": \"separate\", \"scale\": 1, \"scale_rsqrt\": 4",
     "key 'stacks.decoder.self.scale_rsqrt': says what scores are multiplied "
     "with, and 'scale' does too"},
    {"\"none\"", "\"rope\"", "key 'positions.theta': is missing"},
    {"\"none\"", "\"alibi\"", "key 'positions.slopes': is missing"},
    {"\"none\"", "\"relative-bias\"", "key 'positions.table': is missing"},
    {"\"none\"", "\"learned\"", "key 'embedding.positions': is missing"},
    {"\"none\"", "\"sinusoidal\"", "key 'positions.sinusoids': is missing"},
    {"\"none\"", "\"none\", \"sinusoids\": \"marian\"",
     "key 'positions.sinusoids': belongs to another scheme"},
    {"\"none\"", "\"sinusoidal\", \"sinusoids\": \"marian\"",
     "key 'config.max_positions': is missing"},
    {"\"stacks\": {\"decoder\": {",
     "\"stacks\": {\"decoder\": {\"embedding\": {\"positions\": \"p\"}, ",
     "key 'embedding.positions': stands for learned positions"},
    {"\"stacks\": {\"decoder\": {",
     "\"stacks\": {\"decoder\": {\"input\": \"frames\", ",
     "key 'stacks.decoder.input': a decoder reads what it writes"},
    {"\"config\": {", "\"config\": {\"decoder_d_ff\": \"d\", ",
     "key 'config.decoder_d_ff': there are no encoder and decoder"},
    {"\"norm\"", "\"embedding\": {\"positions\": \"p\"}, \"norm\"",
     "key 'embedding.positions': stands for learned positions"},
    {"\"norm\"", "\"embedding\": {\"position_offset\": 2}, \"norm\"",
     "key 'embedding.position_offset': has no"},
    {"\"norm\"",
     "\"embedding\": {\"places\": [\"a\", \"b\", \"c\", \"d\", \"e\"]}, "
     "\"norm\"",
     "key 'embedding.places': there are more than 4"},
    {"\"norm\"", "\"embedding\": {\"width\": 8, \"widened\": \"w\"}, \"norm\"",
     "key 'embedding.width': is not the stream's"},
    {"\"norm\"", "\"embedding\": {\"positions_behind\": 1}, \"norm\"",
     "key 'embedding.positions_behind': there are no positions"},
    {"\"norm\"", "\"embedding\": {\"positions_behind\": -1}, \"norm\"",
     "key 'embedding.positions_behind': "},
    {"\"norm\"", "\"embedding\": {\"norm_first\": true}, \"norm\"",
     "key 'embedding.norm_first': there are no norm and positions"},
    {"\"stacks\": {\"decoder\": {",
     "\"stacks\": {\"decoder\": {\"codes\": {\"each\": \"e.%\", \"n\": 2}, ",
     "key 'stacks.decoder.codes': 'input' says that it reads none"},
    {"\"stacks\": {\"decoder\": {",
     "\"stacks\": {\"decoder\": {\"frames\": {\"convolutions\": "
     "[{\"module\": \"c\"}]}, ",
     "key 'stacks.decoder.frames': 'input' says that it reads none"},
    {"\"layout\": \"separate\"", "\"layout\": \"separate\", \"within\": 2",
     "key 'stacks.decoder.self.within': it is for encoders"},
    {"\"layout\": \"separate\"", "\"layout\": \"separate\", \"span\": 2",
     "key 'stacks.decoder.self.span': it is for encoders"},
    {"\"layout\": \"separate\"", "\"layout\": \"separate\", \"causal\": true",
     "key 'stacks.decoder.self.causal': it is for encoders"},
    {"\"layout\": \"separate\"",
     "\"layout\": \"separate\", \"first_unnormed\": true",
     "key 'stacks.decoder.self.first_unnormed': there is no 'norm'"},
    {"\"tied\": false",
     "\"tied\": false}, \"embedding\": {\"widened\": \"w\", "
     "\"widened_behind\": \"v\"",
     "key 'embedding.widened_behind': goes with neither"},
    {"\"layout\": \"separate\"",
     "\"layout\": \"separate\", \"summaries\": {\"of\": 2, \"norm\": \"n\", "
     "\"bias\": \"b\"}",
     "key 'stacks.decoder.self.summaries': they are for encoders"},
    {"\"layout\": \"separate\"",
     "\"layout\": \"separate\", \"summaries\": {\"of\": 2, \"bias\": \"b\"}",
     "key 'stacks.decoder.self.summaries.norm': is missing"},
    {"\"config\": {", "\"only\": {\"key\": \"k\"}, \"config\": {",
     "key 'only': says one of 'is' and 'is_not'"},
    {"\"k\": \"k\"", "\"k\": \"q\"",
     "key 'stacks.decoder.self.k': is 'q', as 'q' is"},
    {"\"separate\"", "\"fused-qkv\"",
     "key 'stacks.decoder.self.k': is 'k', "
     "but in a fused layout 'q' is the same"},
    {"\"plain\": \"up\"", "\"up\": \"up\"",
     "key 'stacks.decoder.feed_forward.up': has no use, while 'gated' is "
     "false"},
    {"\"plain\": \"up\"", "\"gated\": true, \"up\": \"up\"",
     "key 'stacks.decoder.feed_forward.gate': is missing, while 'gated' is "
     "true"},
    {"\"relu\"", "\"rleu\"",
     "key 'stacks.decoder.feed_forward.activation': 'rleu' is no activation"},
    {"\"feed_forward\": {",
     "\"feed_forward\": {\"experts\": {\"router\": \"r\", \"up\": \"u\", "
     "\"down\": \"d\", \"n\": 2, \"chosen\": 1, \"shared_gate\": \"g\"}, ",
     "key 'stacks.decoder.feed_forward.experts': 'shared_gate' has no "
     "'shared'"},
    {"\"feed_forward\": {",
     "\"feed_forward\": {\"experts\": {\"router\": \"r\", \"up\": \"u\", "
     "\"down\": \"d\", \"n\": 2, \"chosen\": 1, \"each\": \"e.%\", \"bare\": "
     "true}, ",
     "key 'stacks.decoder.feed_forward.experts': 'input_major', 'bare' and "
     "'interleaved' are of experts"},
    {"\"feed_forward\": {",
     "\"feed_forward\": {\"experts\": {\"router\": \"r\", \"up\": \"u\", "
     "\"down\": \"d\", \"n\": 2, \"chosen\": 1, \"interleaved\": true}, ",
     "key 'stacks.decoder.feed_forward.experts': 'interleaved' is of one "
     "'gate' and 'up'"},
    {"\"feed_forward\": {",
     "\"feed_forward\": {\"experts\": {\"router\": \"r\", \"up\": \"u\", "
     "\"down\": \"d\", \"n\": 2, \"chosen\": 1, \"gate\": \"u\", "
     "\"input_major\": true}, ",
     "key 'stacks.decoder.feed_forward.experts': one 'gate' and 'up' that is "
     "'input_major'"},
    {"\"feed_forward\": {",
     "\"feed_forward\": {\"experts\": {\"router\": \"r\", \"up\": \"u\", "
     "\"down\": \"d\", \"n\": 2, \"chosen\": 1, \"gate\": \"u\", "
     "\"interleaved\": true}, ",
     "key 'stacks.decoder.feed_forward.experts': 'interleaved' and the "
     "activation 'clamped_swiglu'"},
    {"\"relu\"",
     "\"clamped_swiglu\", \"alpha\": 2, \"experts\": {\"router\": \"r\", "
     "\"gate\": \"u\", \"up\": \"u\", \"down\": \"d\", \"n\": 2, \"chosen\": "
     "1, "
     "\"interleaved\": true}",
     "the activation 'clamped_swiglu' needs 'alpha' and 'limit'"},
    {"\"relu\"", "\"clamped_swiglu\"",
     "'interleaved' and the activation 'clamped_swiglu' go together"},
    {"\"feed_forward\": {",
     "\"shared_norm\": true, \"feed_forward\": {\"norm\": \"n\", ",
     "key 'stacks.decoder.shared_norm': the feed-forward has a norm"},
    {"\"n_heads\": \"heads\"",
     "\"n_heads\": \"heads\", \"n_decoder_layers\": \"n\"",
     "key 'config.n_decoder_layers': there are no encoder and decoder"},
    {"\"logits\"",
     "\"refuse\": [{\"key\": \"a\", \"because\": \"b\"}],\n\"logits\"",
     "mine.json:17: key 'refuse[0]': needs one of"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [{\"class\": \"C\", \"layers\": \"l\", "
     "\"model_type\": \"other\"}], \"rules\": []},\n\"logits\"",
     "key 'keras.backbones[0].model_type': 'other' is none of the model types"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a%\", \"is\": "
     "\"b.weight\"}]},\n\"logits\"",
     "key 'keras.rules[0]': '%' stands for the layer's number"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b\"}]},\n\"logits\"",
     "key 'keras.rules[0].is': 'b' is no name of a weight"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b.weight\", \"by_head\": true}]},\n\"logits\"",
     "key 'keras.rules[0]': 'by_head' is for kernels that are 'turned'"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b.bias\", \"by_head\": true, \"axis\": 1}]},\n\"logits\"",
     "key 'keras.rules[0]': 'by_head' is for kernels that are 'turned'"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b.weight\", \"unused_rows\": 2, \"turned\": true}]},\n\"logits\"",
     "key 'keras.rules[0]': 'unused_rows' is at most 8"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [], \"within\": \"lama\"},\n"
     "\"logits\"",
     "key 'keras.within': 'lama' is no type of a model that holds others"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [], \"outer\": {\"a\": 1}},\n"
     "\"logits\"",
     "key 'keras.outer': is of what a model lies 'within'"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b.bias\", \"convolution\": true}]},\n\"logits\"",
     "key 'keras.rules[0]': a 'convolution' is a weight of one part"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b.weight\", \"convolution\": true, \"blocks\": true}]},\n\"logits\"",
     "key 'keras.rules[0]': 'blocks' and 'then' are of a weight"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a%\", \"is\": "
     "\"b.%.%.weight\"}]},\n\"logits\"",
     "key 'keras.rules[0]': '%' stands for the layer's number"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a\", \"is\": "
     "\"b.bias\", \"blocks\": true}]},\n\"logits\"",
     "key 'keras.rules[0]': 'blocks' and 'then' are of a weight"},
    {"\"logits\"",
     "\"keras\": {\"backbones\": [], \"rules\": [{\"path\": \"a%\", \"is\": "
     "\"b.%.weight\", \"then\": \"c.weight\"}]},\n\"logits\"",
     "key 'keras.rules[0].then': 'c.weight' is no name of a weight with"},
    {"\"logits\"", "\"behaviours\": {\"score_scale\": \"gpt3\"},\n\"logits\"",
     "key 'behaviours.score_scale': 'gpt3' is not known; did you mean "
     "'gpt2'?"},
    {"\"config\": {",
     "\"config\": {\"n_kv_heads\": \"k\", \"n_kv_heads_by\": {\"key\": "
     "\"kind\"}, ",
     "key 'config.n_kv_heads_by': says how many KV heads there are, and"},
    {"\"config\": {", "\"config\": {\"n_kv_heads_by\": 2, ",
     "key 'config.n_kv_heads_by': is written as well as read"},
    {"\"config\": {",
     "\"config\": {\"n_kv_heads_by\": {\"key\": [\"a\", \"b\"]}, ",
     "key 'config.n_kv_heads_by': is written as well as read"},
    {"\"config\": {",
     "\"config\": {\"n_kv_heads_by\": {\"key\": \"a\", \"map\": {\"x\": "
     "{\"key\": \"b.c\"}}}, ",
     "key 'config.n_kv_heads_by': is written as well as read"},
    {"\"config\": {",
     "\"config\": {\"n_kv_heads_by\": {\"key\": \"a\", \"map\": {\"x\": "
     "\"heads\"}}, ",
     "key 'config.n_kv_heads_by.map.x': \"heads\" is not a whole number above "
     "0 "
     "or \"n_heads\""},
    /* Inheriting */
    {"\"model_types\"", "\"like\": 3,\n\"model_types\"",
     "mine.json:3: key 'like': must be the name"},
    {"\"model_types\"", "\"like\": \"lama\",\n\"model_types\"",
     "mine.json:3: key 'like': 'lama' is neither"},
    /* A part that was inherited is told where it stands. */
    {"\"norm\": {\"kind\": \"rms\", \"eps\": 1e-5}",
     "\"like\": \"llama\", \"norm\": {\"weight\": false, \"one_plus\": true}",
     "mine.json:8: key 'norm.one_plus'"},
};

START_TEST(refuses)
{
    const struct refusal *r = &refusals[_i];
    struct gqa_family *family = NULL;
    const char *text = changed(r->part, r->by);
    enum gqa_status st = parse(&family, text, NULL);

    if (st == GQA_OK) {
        gqa_family_free(family);
        st = parse(&family, text, "mine");
    }
    ck_assert_msg(st == GQA_ERR_FORMAT, "%s: status %d", r->by, (int)st);
    ck_assert_msg(strstr(gqa_error_message(), r->says) != NULL, "%s",
                  gqa_error_message());
    ck_assert_ptr_null(family);
}
END_TEST

START_TEST(takes_the_whole)
{
    struct gqa_family *f = NULL;
    enum gqa_part_presence weight, bias;

    ck_assert_msg(parse(&f, whole, "mine") == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_str_eq(f->name, "mine");
    ck_assert_str_eq(f->model_type, "mine");
    ck_assert_uint_eq(f->n_attentions, 1);
    ck_assert_str_eq(f->attentions[0]->pattern, "layers.%.attn");
    ck_assert(f->attentions[0]->positions);
    ck_assert_int_eq(gqa_norm_parts(&weight, &bias, &f->norm, NULL), GQA_OK);
    ck_assert_int_eq(weight, GQA_PART_PRESENT);
    ck_assert_int_eq(bias, GQA_PART_ABSENT);
    ck_assert_str_eq(f->names.prefixes[0], "model.");
    ck_assert_str_eq(f->names.prefixes[1], "");
    ck_assert_ptr_null(f->names.prefixes[2]);
    ck_assert_ptr_null(f->keys.n_kv_heads);
    ck_assert_int_eq(gqa_bias_said(&f->attentions[0]->bias[0]),
                     GQA_PART_OPTIONAL);
    gqa_family_free(f);
}
END_TEST

/* Objects are merged, all else replaces, null removes; of one model type what
 * it says counts more. */
START_TEST(inherits)
{
    static const char text[] =
        "{\"family\": \"mine\", \"like\": \"mistral\", \"model_types\": "
        "{\"a\": {}, \"b\": {\"stacks\": {\"decoder\": {\"self\": "
        "{\"window\": null, \"q\": \"query\"}}}}}, \"names\": {\"embedding\": "
        "\"wte\"}, \"positions\": {\"theta\": {\"default\": 500}}}";
    struct gqa_family *f = NULL;
    double theta = 0;
    uint64_t window = 1;

    ck_assert_msg(parse(&f, text, "a") == GQA_OK, "%s", gqa_error_message());
    ck_assert_str_eq(f->names.embedding, "wte");
    ck_assert_str_eq(f->names.unembedding[0], "lm_head");
    ck_assert_int_eq(gqa_setting_number(&theta, &f->positions.theta, NULL),
                     GQA_OK);
    ck_assert(theta == 500);
    ck_assert_int_eq(
        gqa_setting_count(&window, &f->attentions[0]->window, NULL), GQA_OK);
    ck_assert_uint_eq(window, 4096);
    ck_assert_str_eq(f->model_types[0], "a");
    ck_assert_str_eq(f->model_types[1], "b");
    ck_assert_ptr_null(f->model_types[2]);
    /* Names of KerasHub are not inherited, nor what its class reads. */
    ck_assert(!f->keras.given);
    ck_assert_int_eq(f->stock_grouped, GQA_STOCK_UNIFORM);
    ck_assert(!f->stock_longrope);
    gqa_family_free(f);
    ck_assert_int_eq(parse(&f, text, "b"), GQA_OK);
    ck_assert_ptr_null(f->attentions[0]->window.json);
    ck_assert_str_eq(f->attentions[0]->names[0], "query");
    gqa_family_free(f);
}
END_TEST

/* What contradicts something that is inherited is told where it can be
 * mended. */
START_TEST(names_the_heir_first)
{
    static const char text[] =
        "{\"family\": \"mine\",\n\"like\": \"gpt2\",\n\"model_types\": "
        "{\"a\": {}},\n\"stacks\": {\n\"decoder\": {\"feed_forward\": "
        "{\"gated\": true, \"gate\": \"g\", \"up\": \"u\"}}}}";
    struct gqa_family *f = NULL;

    ck_assert_int_eq(parse(&f, text, NULL), GQA_ERR_FORMAT);
    ck_assert_msg(
        strstr(gqa_error_message(),
               "mine.json:5: key 'stacks.decoder.feed_forward.plain', "
               "inherited from formats/families/gpt2.json:") != NULL,
        "%s", gqa_error_message());
}
END_TEST

/* Another scheme of positions comes without the keys of the old one. */
START_TEST(inherits_no_other_scheme)
{
    static const char *const texts[] = {
        "{\"family\": \"mine\", \"like\": \"llama\", \"model_types\": "
        "{\"a\": {}}, \"positions\": {\"scheme\": \"none\"}}",
        "{\"family\": \"mine\", \"like\": \"gpt2\", \"model_types\": "
        "{\"a\": {\"positions\": {\"scheme\": \"alibi\", \"slopes\": "
        "\"bloom\"}}}}",
        "{\"family\": \"mine\", \"like\": \"bart\", \"model_types\": "
        "{\"a\": {}}, \"positions\": {\"scheme\": \"none\"}}",
    };

    for (size_t i = 0; i < 3; i++) {
        struct gqa_family *f = NULL;

        ck_assert_msg(parse(&f, texts[i], "a") == GQA_OK, "%s",
                      gqa_error_message());
        ck_assert_ptr_null(f->positions.theta.json);
        ck_assert_ptr_null(f->stacks[GQA_STACK_DECODER].embedding.positions);
        ck_assert_uint_eq(
            f->stacks[GQA_STACK_DECODER].embedding.position_offset, 0);
        gqa_family_free(f);
    }
}
END_TEST

/* What a description reads itself is no longer refused, and all else is. */
START_TEST(lifts_refusals_of_what_it_reads)
{
    static const struct {
        const char *positions;
        size_t n;
        bool inherited;
    } cases[] = {
        {"\"positions\": {\"share\": {\"default\": 0.5}}", 0, true},
        {"\"positions\": {\"share\": {\"key\": \"partial_rotary_factor\"}}", 0,
         true},
        {"\"positions\": {\"theta\": 500}", 1, true},
        {"\"refuse\": [{\"key\": \"a\", \"is\": 1, \"because\": \"b\"}]", 1,
         false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gqa_family *f = NULL;
        char text[512];

        snprintf(text, sizeof text,
                 "{\"family\": \"mine\", \"like\": \"llama\",\n%s,\n"
                 "\"model_types\": {\"a\": {}}}",
                 cases[i].positions);
        ck_assert_msg(parse(&f, text, "a") == GQA_OK, "%s",
                      gqa_error_message());
        ck_assert_uint_eq(f->n_refusals, cases[i].n);
        ck_assert(f->refusals_inherited == cases[i].inherited);
        if (!cases[i].inherited)
            ck_assert_str_eq(f->refused_at, "mine.json:2");
        else
            ck_assert_ptr_nonnull(strstr(f->refused_at, "llama.json:"));
        gqa_family_free(f);
    }
}
END_TEST

START_TEST(refuses_a_cycle)
{
    static const char a[] =
        "{\"family\": \"a\", \"like\": \"b\", \"model_types\": {\"ta\": {}}}";
    static const char b[] =
        "{\"family\": \"b\", \"like\": \"ta\", \"model_types\": {\"tb\": {}}}";
    static const char *const types_a[] = {"ta", NULL};
    static const char *const types_b[] = {"tb", NULL};
    static const char *const none[] = {NULL};
    const struct gqa_builtin_family items[] = {
        {"a", "a.json", a, sizeof a - 1, types_a, none, none},
        {"b", "b.json", b, sizeof b - 1, types_b, none, none},
    };
    const struct gqa_library library = {items, 2};
    struct gqa_family *f = NULL;

    ck_assert_int_eq(
        gqa_family_parse(&f, &library, "a.json", a, sizeof a - 1, NULL),
        GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(),
                     "b.json:1: key 'like': 'ta' inherits from itself in the "
                     "end");
}
END_TEST

/* Each that is built in is whole, for each of its types and for all. */
START_TEST(builtin_families_are_whole)
{
    const struct gqa_library *library = &gqa_builtin_families;

    ck_assert_uint_ge(library->n, 4);
    for (size_t i = 0; i < library->n; i++) {
        const struct gqa_builtin_family *b = &library->items[i];
        struct gqa_family *f = NULL;

        ck_assert_msg(gqa_family_parse(&f, library, b->file, b->text, b->length,
                                       NULL) == GQA_OK,
                      "%s", gqa_error_message());
        ck_assert_str_eq(f->name, b->name);
        /* What the index says is what the text says. */
        for (size_t k = 0; k < f->n_attentions; k++) {
            gqa_texts sign = b->signs;

            while (*sign && strcmp(*sign, f->attentions[k]->pattern) != 0)
                sign++;
            ck_assert_msg(*sign, "%s has no sign '%s'", b->name,
                          f->attentions[k]->pattern);
        }
        gqa_family_free(f);
        for (gqa_texts t = b->model_types; *t; t++) {
            ck_assert_msg(gqa_family_parse(&f, library, b->file, b->text,
                                           b->length, *t) == GQA_OK,
                          "%s", gqa_error_message());
            ck_assert_str_eq(f->model_type, *t);
            gqa_family_free(f);
        }
    }
}
END_TEST

/* --- Settings ------------------------------------------------------------ */

static json_t *json_of(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    ck_assert_msg(json != NULL, "%s", text);
    return json;
}

START_TEST(settings_decide)
{
    static const struct {
        const char *setting, *config, *value, *key; /* value NULL: none */
    } cases[] = {
        {"7", "{}", "7", NULL},
        {"{\"key\": \"a\", \"default\": 1}", "{}", "1", NULL},
        {"{\"key\": \"a\", \"default\": 1}", "{\"a\": 2}", "2", "a"},
        {"{\"key\": \"a\", \"default\": 1}", "{\"a\": null}", "1", NULL},
        {"{\"key\": \"a\", \"default\": 1, \"null\": 0}", "{\"a\": null}", "0",
         "a"},
        {"{\"key\": \"a\"}", "{}", NULL, NULL},
        {"{\"key\": [\"a\", \"b\"]}", "{\"b\": 3}", "3", "b"},
        {"{\"key\": [\"a\", \"b\"]}", "{\"b\": 3, \"a\": 4}", "4", "a"},
        {"{\"key\": \"a.b\"}", "{\"a\": {\"b\": 5}}", "5", "a.b"},
        {"{\"key\": \"a.b\"}", "{\"a.b\": 6}", "6", "a.b"},
        {"{\"key\": \"a\", \"map\": {\"true\": \"x\", \"1\": \"y\"}}",
         "{\"a\": true}", "\"x\"", "a"},
        {"{\"key\": \"a\", \"map\": {\"true\": \"x\", \"1\": \"y\"}}",
         "{\"a\": 1}", "\"y\"", "a"},
        {"{\"key\": \"a\", \"map\": {\"x\": null}}", "{\"a\": \"x\"}", NULL,
         "a"},
        {"{\"key\": \"a\", \"map\": {\"x\": \"y\"}}", "{\"a\": \"z\"}", "\"z\"",
         "a"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = json_of(cases[i].setting);
        json_t *config = json_of(cases[i].config);
        json_t *wanted = cases[i].value ? json_of(cases[i].value) : NULL;
        const struct gqa_setting setting = {json, GQA_VALUE_ANY};
        const json_t *value;
        const char *key;

        ck_assert_int_eq(gqa_setting_get(&value, &key, &setting, config),
                         GQA_OK);
        ck_assert_msg(wanted ? json_equal(value, wanted) : value == NULL,
                      "case %zu", i);
        ck_assert_msg(cases[i].key ? key && strcmp(key, cases[i].key) == 0
                                   : key == NULL,
                      "case %zu: %s", i, key ? key : "no key");
        json_decref(json);
        json_decref(config);
        json_decref(wanted);
    }
}
END_TEST

START_TEST(settings_refuse)
{
    static const struct {
        const char *setting, *config;
        enum gqa_value_kind kind;
        const char *says;
    } cases[] = {
        {"{\"key\": \"a\", \"map\": {\"x\": true}}", "{\"a\": \"z\"}",
         GQA_VALUE_FLAG, "configuration: a is \"z\", not one of x"},
        /* A text that says false is none, and a number no module's name. */
        {"{\"key\": \"a\", \"map\": {\"true\": \"x\", \"false\": null}}",
         "{\"a\": \"false\"}", GQA_VALUE_MODULE,
         "configuration: a is \"false\", not one of true, false"},
        {"{\"key\": \"a\", \"map\": {\"true\": 2, \"false\": 3}}", "{\"a\": 1}",
         GQA_VALUE_SCORES, "configuration: a is 1, not one of true, false"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = json_of(cases[i].setting);
        json_t *config = json_of(cases[i].config);
        const struct gqa_setting setting = {json, cases[i].kind};
        const json_t *value;

        ck_assert_int_eq(gqa_setting_get(&value, NULL, &setting, config),
                         GQA_ERR_FORMAT);
        ck_assert_str_eq(gqa_error_message(), cases[i].says);
        json_decref(json);
        json_decref(config);
    }
}
END_TEST

/* --- Lines --------------------------------------------------------------- */

START_TEST(finds_lines)
{
    static const char text[] = "\n{ \"a\" : [1,\n {\"b\": \"}\\\"\"},\n"
                               "[] , -1.5e3,\n true],\n\"c\":{\"d\":\n{\"e\"\n"
                               ": null}}}";
    const struct gqa_place a = {NULL, "a", 0}, a1 = {&a, NULL, 1},
                           a1b = {&a1, "b", 0}, a3 = {&a, NULL, 3},
                           a4 = {&a, NULL, 4}, a5 = {&a, NULL, 5},
                           c = {NULL, "c", 0}, d = {&c, "d", 0},
                           e = {&d, "e", 0}, f = {&d, "f", 0};
    const struct {
        const struct gqa_place *place;
        size_t line;
        const char *text;
    } cases[] = {
        {NULL, 2, ""},       {&a, 2, "a"},     {&a1, 3, "a[1]"},
        {&a1b, 3, "a[1].b"}, {&a3, 4, "a[3]"}, {&a4, 5, "a[4]"},
        {&a5, 0, "a[5]"},    {&c, 6, "c"},     {&d, 6, "c.d"},
        {&e, 7, "c.d.e"},    {&f, 0, "c.d.f"},
    };
    json_t *json = json_of(text);
    char shown[64];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gqa_place_text(shown, sizeof shown, cases[i].place);
        ck_assert_str_eq(shown, cases[i].text);
        ck_assert_uint_eq(gqa_locate(text, sizeof text - 1, cases[i].place),
                          cases[i].line);
    }
    json_decref(json);
}
END_TEST

/* --- Which family -------------------------------------------------------- */

static enum gqa_status open_model(struct gqa_model **out, const char *path,
                                  const struct gqa_family_file *own)
{
    const struct gqa_checkpoint_options options = {0};
    const struct gqa_model_hints hints = {.n_heads = 2, .family = own};
    struct gqa_checkpoint *checkpoint = NULL;
    enum gqa_status st;

    *out = NULL;
    ck_assert_msg(gqa_checkpoint_open(&checkpoint, path, &options) == GQA_OK,
                  "%s", gqa_error_message());
    st = gqa_model_create(out, checkpoint, &hints);
    gqa_checkpoint_close(checkpoint);
    return st;
}

/* A checkpoint of one layer, named as `whole` says, or as Llama is. */
static const char *checkpoint_of(const char *layer, const char *model_type)
{
    static const char one[] =
        "{\"dtype\":\"F32\",\"shape\":[4,4],\"data_offsets\":[%d,%d]}%s";
    static const char *const mine[] = {"q", "k", "v", "o"};
    static const char *const llama[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    const bool is_mine = strstr(layer, "self_attn") == NULL;
    static const float zeros[4 * 16];
    char header[2048];
    size_t n = 0;

    n += (size_t)snprintf(header, sizeof header, "{");
    if (model_type)
        n += (size_t)snprintf(
            header + n, sizeof header - n,
            "\"__metadata__\":{\"gqa.version\":\"1\",\"gqa.config\":"
            "\"{\\\"model_type\\\":\\\"%s\\\","
            "\\\"num_attention_heads\\\":2}\"},",
            model_type);
    for (int i = 0; i < 4; i++) {
        n += (size_t)snprintf(header + n, sizeof header - n,
                              "\"%s.%s.weight\":", layer,
                              is_mine ? mine[i] : llama[i]);
        n += (size_t)snprintf(header + n, sizeof header - n, one, 64 * i,
                              64 * i + 64, i == 3 ? "}" : ",");
    }
    return scratch_write_safetensors("m.safetensors", header, zeros,
                                     sizeof zeros);
}

START_TEST(chooses_a_family)
{
    static const struct {
        const char *layer, *model_type;
        bool own;
        const char *family; /* NULL: refused */
        const char *type;   /* NULL: not known */
        const char *says;
    } cases[] = {
        /* By names */
        {"model.layers.0.self_attn", NULL, false, "llama", NULL, NULL},
        {"layers.0.attn", NULL, true, "mine", "mine", NULL},
        {"layers.0.attn", NULL, false, NULL, NULL, "no family we know"},
        {"model.layers.0.self_attn", NULL, true, "llama", NULL, NULL},
        /* By type */
        {"model.layers.0.self_attn", "mistral", false, "llama", "mistral",
         NULL},
        {"layers.0.attn", "mine", true, "mine", "mine", NULL},
        {"layers.0.attn", "other", false, NULL, NULL,
         "model_type 'other' is not known"},
        /* A type that nobody knows, though the names fit the user's file */
        {"layers.0.attn", "other", true, NULL, NULL,
         "model_type 'other' is not one that "},
        {"layers.0.attn", "other", true, NULL, NULL,
         "mine.json names (mine); if that describes it, add it to "
         "'model_types' there"},
        {"layers.0.att", "mine", true, NULL, NULL,
         "mine.json: no tensor is named like 'model.layers.%.attn.q.weight'"},
        {"layers.0.att", NULL, true, NULL, NULL,
         "mine.json takes names like 'model.layers.%.attn.q.weight'"},
        /* A type that is built in is that, whatever file is given. */
        {"model.layers.0.self_attn", "llama", true, "llama", "llama", NULL},
        {"layers.0.attn", "gpt2", false, NULL, NULL,
         "no tensor is named like 'transformer.h.%.attn.c_attn.weight'"},
    };
    struct gqa_family_file *file = NULL;

    ck_assert_msg(gqa_family_file_open(
                      &file, scratch_write_text("mine.json", whole)) == GQA_OK,
                  "%s", gqa_error_message());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gqa_model *model = NULL;
        const enum gqa_status st = open_model(
            &model, checkpoint_of(cases[i].layer, cases[i].model_type),
            cases[i].own ? file : NULL);

        if (!cases[i].family) {
            ck_assert_msg(st != GQA_OK, "case %zu", i);
            ck_assert_msg(strstr(gqa_error_message(), cases[i].says), "%s",
                          gqa_error_message());
            continue;
        }
        ck_assert_msg(st == GQA_OK, "case %zu: %s", i, gqa_error_message());
        ck_assert_str_eq(gqa_family_name(model->family), cases[i].family);
        ck_assert_pstr_eq(model->model_type, cases[i].type);
        gqa_model_free(model);
    }
    gqa_family_file_free(file);
}
END_TEST

/* A user's description of a type that is built in counts more. */
START_TEST(own_type_counts_more)
{
    struct gqa_family_file *file = NULL;
    struct gqa_model *model = NULL;
    const char *text = changed("{\"mine\": {}}", "{\"llama\": {}}");

    ck_assert_int_eq(
        gqa_family_file_open(&file, scratch_write_text("mine.json", text)),
        GQA_OK);
    ck_assert_msg(open_model(&model, checkpoint_of("layers.0.attn", "llama"),
                             file) == GQA_OK,
                  "%s", gqa_error_message());
    ck_assert_str_eq(gqa_family_name(model->family), "mine");
    gqa_model_free(model);
    gqa_family_file_free(file);
}
END_TEST

/* A model of one layer with biases of these projections. */
static enum gqa_status model_with_biases(struct gqa_model **out,
                                         const char *text, const char *biases)
{
    static const float zeros[4 * 16 + 4 * 4];
    struct gqa_family_file *file = NULL;
    char header[2048];
    size_t n = (size_t)snprintf(header, sizeof header, "{");
    const char *path;
    int at = 0;
    enum gqa_status st;

    for (const char *p = "qkvo"; *p; p++, at += 64)
        n += (size_t)snprintf(
            header + n, sizeof header - n,
            "%s\"layers.0.attn.%c.weight\":{\"dtype\":\"F32\",\"shape\":"
            "[4,4],\"data_offsets\":[%d,%d]}",
            at ? "," : "", *p, at, at + 64);
    for (; *biases; biases++, at += 16)
        n += (size_t)snprintf(
            header + n, sizeof header - n,
            ",\"layers.0.attn.%c.bias\":{\"dtype\":\"F32\",\"shape\":[4],"
            "\"data_offsets\":[%d,%d]}",
            *biases, at, at + 16);
    snprintf(header + n, sizeof header - n, "}");
    path =
        scratch_write_safetensors("m.safetensors", header, zeros, (size_t)at);
    ck_assert_int_eq(
        gqa_family_file_open(&file, scratch_write_text("mine.json", text)),
        GQA_OK);
    st = open_model(out, path, file);
    gqa_family_file_free(file);
    return st;
}

#define BIAS(b) changed("\"layout\"", "\"bias\": {" b "}, \"layout\"")

/* As Whisper's, which has none on its keys. */
START_TEST(biases_are_each_their_own)
{
    struct gqa_model *model = NULL;

    ck_assert_int_eq(model_with_biases(&model, whole, "qvo"), GQA_OK);
    ck_assert_uint_eq(model->attentions[0].k.bias, GQA_NO_PARAM);
    ck_assert_uint_ne(model->attentions[0].v.bias, GQA_NO_PARAM);
    gqa_model_free(model);
    ck_assert_int_eq(
        model_with_biases(&model, BIAS("\"q\": true, \"k\": false"), "q"),
        GQA_OK);
    gqa_model_free(model);
    ck_assert_int_eq(model_with_biases(&model, BIAS("\"k\": true"), "qvo"),
                     GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(),
                     "tensor 'layers.0.attn.k.bias' is missing");
    ck_assert_int_eq(model_with_biases(&model, BIAS("\"o\": false"), "qvo"),
                     GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(),
                     "'layers.0.attn.o.bias': models of type mine have no "
                     "such bias");
    /* What one setting decides is there together. */
    ck_assert_int_eq(
        model_with_biases(
            &model, BIAS("\"q\": {\"key\": \"b\"}, \"k\": {\"key\": \"b\"}"),
            "q"),
        GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(),
                     "tensor 'layers.0.attn.k.bias' is missing");
}
END_TEST

/* There is something to look at and to convert, and nothing to run. */
START_TEST(encoders_alone_are_read)
{
    struct gqa_network *network = NULL;
    struct gqa_model *model = NULL;

    ck_assert_msg(model_with_biases(&model,
                                    changed("\"decoder\"", "\"encoder\""),
                                    "qkv") == GQA_OK,
                  "%s", gqa_error_message());
    ck_assert_int_eq(model->attentions[0].stack, GQA_STACK_ENCODER);
    ck_assert_uint_eq(model->n_layers, 1);
    ck_assert(!gqa_model_is_encoder_decoder(model));
    /* It may be run: there is no embedding here. */
    ck_assert_int_eq(gqa_network_create(&network, model), GQA_ERR_FORMAT);
    ck_assert_msg(
        strstr(gqa_error_message(), "'model.embed.weight' is missing"), "%s",
        gqa_error_message());
    gqa_model_free(model);
}
END_TEST

/* --- Heads
 * -------------------------------------------------------------------- */

/* Eight query heads of two, by hand. */
START_TEST(heads_lie_where_they_should)
{
    static const struct {
        enum gqa_head_layout layout;
        uint64_t n_kv_heads;
        uint64_t q3, k1, v1, length; /* head 3 of q, head 1 of k and of v */
    } cases[] = {
        {GQA_HEADS_SEPARATE, 8, 6, 2, 2, 16},
        {GQA_HEADS_SEPARATE, 2, 6, 2, 2, 4},
        {GQA_HEADS_FUSED_QKV, 8, 6, 18, 34, 48},
        {GQA_HEADS_FUSED_QKV, 2, 6, 18, 22, 24},
        {GQA_HEADS_FUSED_GROUP, 8, 18, 8, 10, 48},
        {GQA_HEADS_FUSED_GROUP, 2, 6, 20, 22, 24},
        {GQA_HEADS_FUSED_GROUP, 4, 10, 12, 14, 32},
        {GQA_HEADS_FUSED_KV, 8, 6, 2, 18, 32},
        {GQA_HEADS_FUSED_KV, 2, 6, 2, 6, 8},
    };
    /* Of q, k and v: which share one. */
    static const size_t weights[][3] = {[GQA_HEADS_SEPARATE] = {0, 1, 2},
                                        [GQA_HEADS_FUSED_QKV] = {0, 0, 0},
                                        [GQA_HEADS_FUSED_GROUP] = {0, 0, 0},
                                        [GQA_HEADS_FUSED_KV] = {0, 1, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t *weight = weights[cases[i].layout];
        const struct gqa_attention was = {.n_heads = 8,
                                          .n_kv_heads = 8,
                                          .head_dim = 2,
                                          .layout = cases[i].layout,
                                          .q = {.weight = weight[0]},
                                          .k = {.weight = weight[1]},
                                          .v = {.weight = weight[2]}};
        const struct gqa_attention a =
            gqa_attention_regrouped(&was, cases[i].n_kv_heads);

        ck_assert_uint_eq(a.n_heads, 8);
        ck_assert_uint_eq(a.n_kv_heads, cases[i].n_kv_heads);
        ck_assert_uint_eq(a.v.n_heads, cases[i].n_kv_heads);
        ck_assert_uint_eq(gqa_slice_head(&a.q, 2, 3), cases[i].q3);
        ck_assert_uint_eq(gqa_slice_head(&a.k, 2, 1), cases[i].k1);
        ck_assert_uint_eq(gqa_slice_head(&a.v, 2, 1), cases[i].v1);
        ck_assert_uint_eq(gqa_slice_head(&a.o, 2, 7), 14);
        ck_assert_uint_eq(gqa_attention_length(&a, &a.k), cases[i].length);
        ck_assert_uint_eq(gqa_attention_length(&a, &a.q),
                          weight[0] == weight[1] ? cases[i].length : 16);
    }
}
END_TEST

/* --- Names of KerasHub
 * -------------------------------------------------------- */

/* Each preset is of the family, the type and the names that it should be. */
START_TEST(knows_presets)
{
    static const struct {
        const char *fixture, *family, *type, *param;
    } cases[] = {
        {"good/kerashub-t5", "t5", "t5",
         "decoder.block.1.layer.2.DenseReluDense.wi_0.weight"},
        {"good/kerashub-gpt2", "gpt2", "gpt2",
         "transformer.h.0.attn.c_attn.weight"},
        {"good/kerashub-llama", "llama", "llama",
         "model.layers.1.mlp.gate_proj.weight"},
        {"good/kerashub-mistral", "llama", "mistral", "model.norm.weight"},
        {"good/kerashub-qwen", "llama", "qwen2",
         "model.layers.0.self_attn.q_proj.bias"},
        {"good/kerashub-gpt_neox", "gpt_neox", "gpt_neox",
         "gpt_neox.layers.0.attention.query_key_value.bias"},
        {"kerashub/gemma", "gemma", "gemma",
         "model.layers.1.self_attn.v_proj.weight"},
        {"kerashub/gemma2", "gemma2", "gemma2",
         "model.layers.1.post_feedforward_layernorm.weight"},
        {"kerashub/gemma3", "gemma3", "gemma3_text",
         "model.layers.1.self_attn.k_norm.weight"},
        {"kerashub/mixtral", "mixtral", "mixtral",
         "model.layers.1.block_sparse_moe.experts.2.w3.weight"},
        {"kerashub/qwen3", "qwen3", "qwen3",
         "model.layers.1.self_attn.q_norm.weight"},
        {"kerashub/qwen_moe", "qwen2_moe", "qwen2_moe",
         "model.layers.1.mlp.shared_expert_gate.weight"},
        {"kerashub/qwen3_moe", "qwen3_moe", "qwen3_moe",
         "model.layers.1.mlp.experts.2.up_proj.weight"},
        {"kerashub/smollm3", "smollm3", "smollm3",
         "model.layers.1.mlp.down_proj.bias"},
        {"good/keras3-t5", "t5", "t5",
         "encoder.block.0.layer.1.layer_norm.weight"},
        {"good/keras3-llama", "llama", "llama", "model.embed_tokens.weight"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gqa_checkpoint *checkpoint = NULL;
        const struct gqa_checkpoint_options options = {0};
        struct gqa_model *model = NULL;
        size_t index;

        ck_assert_int_eq(gqa_checkpoint_open(&checkpoint,
                                             test_data(cases[i].fixture),
                                             &options),
                         GQA_OK);
        ck_assert_msg(gqa_model_create(&model, checkpoint, NULL) == GQA_OK,
                      "%s: %s", cases[i].fixture, gqa_error_message());
        ck_assert_str_eq(gqa_family_name(model->family), cases[i].family);
        ck_assert_pstr_eq(model->model_type, cases[i].type);
        ck_assert_msg(gqa_model_find(model, cases[i].param, &index), "%s: %s",
                      cases[i].fixture, cases[i].param);
        gqa_model_free(model);
        gqa_checkpoint_close(checkpoint);
    }
}
END_TEST

START_TEST(files_are_bounded)
{
    struct gqa_family_file *file = NULL;
    const size_t n = ((size_t)1 << 20) + 1;
    char *big = malloc(n);

    ck_assert_ptr_nonnull(big);
    memset(big, ' ', n);
    ck_assert_int_eq(
        gqa_family_file_open(&file, scratch_write("big.json", big, n)),
        GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "no family's"));
    free(big);
    ck_assert_int_eq(gqa_family_file_open(&file, scratch_path("none.json")),
                     GQA_ERR_IO);
    /* What is wrong with one model type alone is told too. */
    ck_assert_int_eq(
        gqa_family_file_open(
            &file,
            scratch_write_text(
                "mine.json", changed("{\"mine\": {}}",
                                     "{\"mine\": {}, \"b\": {\"norm\": 3}}"))),
        GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(gqa_error_message(), ":3: key 'model_types.b.norm': 3 is not"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("families");
    TCase *tc = tcase_create("families");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_loop_test(tc, refuses, 0,
                        (int)(sizeof refusals / sizeof *refusals));
    tcase_add_test(tc, takes_the_whole);
    tcase_add_test(tc, inherits);
    tcase_add_test(tc, names_the_heir_first);
    tcase_add_test(tc, inherits_no_other_scheme);
    tcase_add_test(tc, lifts_refusals_of_what_it_reads);
    tcase_add_test(tc, refuses_a_cycle);
    tcase_add_test(tc, builtin_families_are_whole);
    tcase_add_test(tc, settings_decide);
    tcase_add_test(tc, settings_refuse);
    tcase_add_test(tc, finds_lines);
    tcase_add_test(tc, chooses_a_family);
    tcase_add_test(tc, own_type_counts_more);
    tcase_add_test(tc, biases_are_each_their_own);
    tcase_add_test(tc, encoders_alone_are_read);
    tcase_add_test(tc, heads_lie_where_they_should);
    tcase_add_test(tc, knows_presets);
    tcase_add_test(tc, files_are_bounded);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
