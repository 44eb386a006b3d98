#include "formats/torch/unpickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/torch/globals.h"
#include "formats/torch/rebuild.h"

enum { MAX_GLOBAL = 256, HIGHEST_PROTOCOL = 5 };

/* An array of values that grows. */
struct numbers {
    uint32_t *at;
    size_t n, room;
};

struct machine {
    struct gqa_input *in;
    struct gqa_pickle_values *v;
    struct numbers stack;
    struct numbers marks; /* heights of the stack */
    struct numbers memo;  /* values, and one more; 0: none */
    size_t n_memo;        /* that were put there */
    size_t n_held; /* values below this one may be referred to once more */
};

static enum gqa_status grow(struct numbers *numbers, size_t n)
{
    size_t room = numbers->room < 64 ? 64 : numbers->room;
    uint32_t *grown;

    while (room < n)
        room *= 2;
    if (room == numbers->room)
        return GQA_OK;
    grown = reallocarray(numbers->at, room, sizeof *grown);
    if (!grown)
        return gqa_fail_nomem();
    memset(grown + numbers->room, 0, (room - numbers->room) * sizeof *grown);
    numbers->at = grown;
    numbers->room = room;
    return GQA_OK;
}

static enum gqa_status push_number(struct numbers *numbers, uint32_t number)
{
    const enum gqa_status st = grow(numbers, numbers->n + 1);

    if (st == GQA_OK)
        numbers->at[numbers->n++] = number;
    return st;
}

static enum gqa_status push(struct machine *m, uint32_t value)
{
    return push_number(&m->stack, value);
}

/* Below a mark nothing may be taken before the mark is. */
static size_t floor_of(const struct machine *m)
{
    return m->marks.n > 0 ? m->marks.at[m->marks.n - 1] : 0;
}

/* The n uppermost values, the lowest first. */
static enum gqa_status pop(struct machine *m, uint32_t *values, size_t n)
{
    if (m->stack.n - floor_of(m) < n)
        return gqa_fail(GQA_ERR_FORMAT, "more is taken than was put there");
    m->stack.n -= n;
    for (size_t i = 0; i < n; i++)
        values[i] = m->stack.at[m->stack.n + i];
    return GQA_OK;
}

/* The height of the stack at the last mark, which is taken off. */
static enum gqa_status pop_mark(struct machine *m, size_t *height)
{
    if (m->marks.n == 0)
        return gqa_fail(GQA_ERR_FORMAT, "a list without a beginning");
    *height = m->marks.at[--m->marks.n];
    return GQA_OK;
}

/* --- Plain values --------------------------------------------------------- */

static enum gqa_status put_kind(struct machine *m, enum gqa_pickle_kind kind)
{
    uint32_t value = 0;
    const enum gqa_status st = gqa_pickle_make(&value, m->v, kind);

    return st == GQA_OK ? push(m, value) : st;
}

static enum gqa_status put_int(struct machine *m, enum gqa_pickle_kind kind,
                               int64_t integer)
{
    uint32_t value = 0;
    const enum gqa_status st = gqa_pickle_make_int(&value, m->v, kind, integer);

    return st == GQA_OK ? push(m, value) : st;
}

/* Text of as many bytes as a number of n bytes says. */
static enum gqa_status put_text(struct machine *m, enum gqa_pickle_kind kind,
                                size_t n)
{
    enum gqa_status st;
    uint64_t length;
    uint32_t value = 0;
    char *text;

    if ((st = gqa_input_number(m->in, &length, n)) != GQA_OK)
        return st;
    if (length > GQA_PICKLE_MAX_BYTES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "text of %" PRIu64 " bytes; no checkpoint has as many",
                        length);
    if (length > gqa_input_left(m->in))
        return gqa_fail(GQA_ERR_FORMAT,
                        "text of %" PRIu64 " bytes, where %" PRIu64 " are left",
                        length, gqa_input_left(m->in));
    st = gqa_pickle_make_text(&value, &text, m->v, kind, (size_t)length);
    if (st == GQA_OK)
        st = gqa_input_take(m->in, text, (size_t)length);
    return st == GQA_OK ? push(m, value) : st;
}

static enum gqa_status do_none(struct machine *m)
{
    return put_kind(m, GQA_PICKLE_NONE);
}

static enum gqa_status do_true(struct machine *m)
{
    return put_int(m, GQA_PICKLE_BOOL, 1);
}

static enum gqa_status do_false(struct machine *m)
{
    return put_int(m, GQA_PICKLE_BOOL, 0);
}

static enum gqa_status put_unsigned(struct machine *m, size_t n)
{
    uint64_t number;
    const enum gqa_status st = gqa_input_number(m->in, &number, n);

    return st == GQA_OK ? put_int(m, GQA_PICKLE_INT, (int64_t)number) : st;
}

static enum gqa_status do_int1(struct machine *m)
{
    return put_unsigned(m, 1);
}

static enum gqa_status do_int2(struct machine *m)
{
    return put_unsigned(m, 2);
}

static enum gqa_status do_int4(struct machine *m)
{
    uint64_t number;
    const enum gqa_status st = gqa_input_number(m->in, &number, 4);

    return st == GQA_OK ? put_int(m, GQA_PICKLE_INT, (int32_t)number) : st;
}

/* Two's complement of as many bytes as the first says */
static enum gqa_status do_long1(struct machine *m)
{
    unsigned char bytes[255], n;
    enum gqa_status st = gqa_input_take(m->in, &n, 1);
    uint64_t number = 0;
    uint32_t value = 0;
    char *text;

    if (st == GQA_OK)
        st = gqa_input_take(m->in, bytes, n);
    if (st != GQA_OK)
        return st;
    if (n > 8) {
        st = gqa_pickle_make_text(&value, &text, m->v, GQA_PICKLE_LONG, n);
        if (st != GQA_OK)
            return st;
        memcpy(text, bytes, n);
        return push(m, value);
    }
    if (n > 0 && bytes[n - 1] >= 0x80)
        number = UINT64_MAX;
    for (size_t i = n; i-- > 0;)
        number = number << 8 | bytes[i];
    return put_int(m, GQA_PICKLE_INT, (int64_t)number);
}

static enum gqa_status do_real(struct machine *m)
{
    unsigned char bytes[8];
    const enum gqa_status st = gqa_input_take(m->in, bytes, sizeof bytes);

    return st == GQA_OK ? put_kind(m, GQA_PICKLE_REAL) : st;
}

static enum gqa_status do_text1(struct machine *m)
{
    return put_text(m, GQA_PICKLE_TEXT, 1);
}

static enum gqa_status do_text4(struct machine *m)
{
    return put_text(m, GQA_PICKLE_TEXT, 4);
}

static enum gqa_status do_text8(struct machine *m)
{
    return put_text(m, GQA_PICKLE_TEXT, 8);
}

static enum gqa_status do_bytes1(struct machine *m)
{
    return put_text(m, GQA_PICKLE_BYTES, 1);
}

static enum gqa_status do_bytes4(struct machine *m)
{
    return put_text(m, GQA_PICKLE_BYTES, 4);
}

static enum gqa_status do_bytes8(struct machine *m)
{
    return put_text(m, GQA_PICKLE_BYTES, 8);
}

/* --- Lists ---------------------------------------------------------------- */

static enum gqa_status do_empty_list(struct machine *m)
{
    return put_kind(m, GQA_PICKLE_LIST);
}

static enum gqa_status do_empty_tuple(struct machine *m)
{
    return put_kind(m, GQA_PICKLE_TUPLE);
}

static enum gqa_status do_empty_set(struct machine *m)
{
    return put_kind(m, GQA_PICKLE_SET);
}

static enum gqa_status do_empty_dict(struct machine *m)
{
    return put_kind(m, GQA_PICKLE_DICT);
}

static enum gqa_status do_mark(struct machine *m)
{
    return push_number(&m->marks, (uint32_t)m->stack.n);
}

/* What lies above `height` becomes a list of its own. */
static enum gqa_status gather(struct machine *m, enum gqa_pickle_kind kind,
                              size_t height)
{
    uint32_t list;
    enum gqa_status st = gqa_pickle_make(&list, m->v, kind);

    for (size_t i = height; st == GQA_OK && i < m->stack.n; i++)
        st = gqa_pickle_append(m->v, list, m->stack.at[i]);
    m->stack.n = height;
    return st == GQA_OK ? push(m, list) : st;
}

static enum gqa_status gather_marked(struct machine *m,
                                     enum gqa_pickle_kind kind)
{
    size_t height = 0;
    const enum gqa_status st = pop_mark(m, &height);

    return st == GQA_OK ? gather(m, kind, height) : st;
}

static enum gqa_status do_tuple(struct machine *m)
{
    return gather_marked(m, GQA_PICKLE_TUPLE);
}

static enum gqa_status do_list(struct machine *m)
{
    return gather_marked(m, GQA_PICKLE_LIST);
}

static enum gqa_status do_frozenset(struct machine *m)
{
    return gather_marked(m, GQA_PICKLE_SET);
}

static enum gqa_status gather_few(struct machine *m, size_t n)
{
    uint32_t values[3] = {0};
    const enum gqa_status st = pop(m, values, n);

    if (st != GQA_OK)
        return st;
    m->stack.n += n;
    return gather(m, GQA_PICKLE_TUPLE, m->stack.n - n);
}

static enum gqa_status do_tuple1(struct machine *m)
{
    return gather_few(m, 1);
}

static enum gqa_status do_tuple2(struct machine *m)
{
    return gather_few(m, 2);
}

static enum gqa_status do_tuple3(struct machine *m)
{
    return gather_few(m, 3);
}

static bool is_plain(enum gqa_pickle_kind kind)
{
    return kind == GQA_PICKLE_NONE || kind == GQA_PICKLE_BOOL ||
           kind == GQA_PICKLE_INT || kind == GQA_PICKLE_REAL;
}

/* Nobody asks for plain numbers in a list, of which trainers keep millions
 * (losses, indices of samples): those that were made last are forgotten. */
static void forget_plain(struct machine *m, size_t height)
{
    struct gqa_pickle_values *v = m->v;

    while (m->stack.n > height && v->n_values > m->n_held &&
           m->stack.at[m->stack.n - 1] == v->n_values - 1 &&
           is_plain(v->values[v->n_values - 1].kind)) {
        m->stack.n--;
        v->n_values--;
    }
}

/* What lies above `height` comes into the container below, in groups of n. */
static enum gqa_status add_to(struct machine *m, enum gqa_pickle_kind kind,
                              size_t height, size_t n)
{
    enum gqa_status st = GQA_OK;
    enum gqa_pickle_kind found;
    uint32_t list;

    if (height == floor_of(m) || (m->stack.n - height) % n != 0)
        return gqa_fail(GQA_ERR_FORMAT, "items for no list");
    list = m->stack.at[height - 1];
    found = gqa_pickle_kind_of(m->v, list);
    if (found != kind && found != GQA_PICKLE_OBJECT)
        return gqa_fail(GQA_ERR_FORMAT, "items for what is no list of such");
    if (kind == GQA_PICKLE_LIST)
        forget_plain(m, height);
    for (size_t i = height; found == kind && st == GQA_OK && i < m->stack.n;
         i++)
        st = gqa_pickle_append(m->v, list, m->stack.at[i]);
    m->stack.n = height;
    return st;
}

static enum gqa_status add_few(struct machine *m, enum gqa_pickle_kind kind,
                               size_t n)
{
    if (m->stack.n - floor_of(m) < n + 1)
        return gqa_fail(GQA_ERR_FORMAT, "more is taken than was put there");
    return add_to(m, kind, m->stack.n - n, n);
}

static enum gqa_status add_marked(struct machine *m, enum gqa_pickle_kind kind,
                                  size_t n)
{
    size_t height = 0;
    const enum gqa_status st = pop_mark(m, &height);

    return st == GQA_OK ? add_to(m, kind, height, n) : st;
}

static enum gqa_status do_append(struct machine *m)
{
    return add_few(m, GQA_PICKLE_LIST, 1);
}

static enum gqa_status do_appends(struct machine *m)
{
    return add_marked(m, GQA_PICKLE_LIST, 1);
}

static enum gqa_status do_additems(struct machine *m)
{
    return add_marked(m, GQA_PICKLE_SET, 1);
}

static enum gqa_status do_setitem(struct machine *m)
{
    return add_few(m, GQA_PICKLE_DICT, 2);
}

static enum gqa_status do_setitems(struct machine *m)
{
    return add_marked(m, GQA_PICKLE_DICT, 2);
}

/* --- Stack and memo ------------------------------------------------------- */

static enum gqa_status do_pop(struct machine *m)
{
    uint32_t value = 0;

    if (m->stack.n == floor_of(m) && m->marks.n > 0) {
        m->marks.n--;
        return GQA_OK;
    }
    return pop(m, &value, 1);
}

static enum gqa_status do_pop_mark(struct machine *m)
{
    return pop_mark(m, &m->stack.n);
}

static enum gqa_status top(struct machine *m, uint32_t *value)
{
    const enum gqa_status st = pop(m, value, 1);

    return st == GQA_OK ? push(m, *value) : st;
}

static enum gqa_status do_dup(struct machine *m)
{
    uint32_t value = 0;
    const enum gqa_status st = top(m, &value);

    m->n_held = m->v->n_values;
    return st == GQA_OK ? push(m, value) : st;
}

/* Numbers count up, by one at each: none lies far beyond their count. */
static enum gqa_status put_memo(struct machine *m, uint64_t number)
{
    uint32_t value = 0;
    enum gqa_status st = top(m, &value);

    if (st != GQA_OK)
        return st;
    if (number > gqa_input_at(m->in))
        return gqa_fail(GQA_ERR_FORMAT, "a value is kept as number %" PRIu64,
                        number);
    if ((st = grow(&m->memo, (size_t)number + 1)) != GQA_OK)
        return st;
    m->memo.at[number] = value + 1;
    if (m->n_held <= value)
        m->n_held = (size_t)value + 1;
    m->n_memo++;
    return GQA_OK;
}

static enum gqa_status get_memo(struct machine *m, size_t n)
{
    uint64_t number;
    const enum gqa_status st = gqa_input_number(m->in, &number, n);

    if (st != GQA_OK)
        return st;
    if (number >= m->memo.room || m->memo.at[number] == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "value number %" PRIu64 ", which was not kept", number);
    return push(m, m->memo.at[number] - 1);
}

static enum gqa_status put_memo_of(struct machine *m, size_t n)
{
    uint64_t number;
    const enum gqa_status st = gqa_input_number(m->in, &number, n);

    return st == GQA_OK ? put_memo(m, number) : st;
}

static enum gqa_status do_put1(struct machine *m)
{
    return put_memo_of(m, 1);
}

static enum gqa_status do_put4(struct machine *m)
{
    return put_memo_of(m, 4);
}

static enum gqa_status do_memoize(struct machine *m)
{
    return put_memo(m, m->n_memo);
}

static enum gqa_status do_get1(struct machine *m)
{
    return get_memo(m, 1);
}

static enum gqa_status do_get4(struct machine *m)
{
    return get_memo(m, 4);
}

/* --- What would be called ------------------------------------------------- */

static enum gqa_status put_global(struct machine *m, const char *module,
                                  const char *name)
{
    uint32_t value = 0;
    size_t number;
    enum gqa_status st;

    if (!gqa_pickle_global_find(&number, module, name))
        return gqa_fail(
            GQA_ERR_UNSUPPORTED,
            "the pickle refers to %s.%s; tensors and plain values are read, "
            "and nothing is run: save the state_dict() alone, where it was "
            "made",
            module, name);
    st = gqa_pickle_make(&value, m->v, GQA_PICKLE_GLOBAL);
    if (st != GQA_OK)
        return st;
    m->v->values[value].is.at = number;
    return push(m, value);
}

static enum gqa_status take_line(struct machine *m, char *line)
{
    for (size_t i = 0; i < MAX_GLOBAL; i++) {
        const enum gqa_status st = gqa_input_take(m->in, line + i, 1);

        if (st != GQA_OK)
            return st;
        if (line[i] == '\n') {
            line[i] = '\0';
            return GQA_OK;
        }
    }
    return gqa_fail(GQA_ERR_FORMAT, "a name of more than %d bytes", MAX_GLOBAL);
}

static enum gqa_status do_global(struct machine *m)
{
    char module[MAX_GLOBAL], name[MAX_GLOBAL];
    enum gqa_status st = take_line(m, module);

    if (st == GQA_OK)
        st = take_line(m, name);
    return st == GQA_OK ? put_global(m, module, name) : st;
}

static enum gqa_status do_stack_global(struct machine *m)
{
    uint32_t values[2] = {0};
    const enum gqa_status st = pop(m, values, 2);

    if (st != GQA_OK)
        return st;
    if (gqa_pickle_kind_of(m->v, values[0]) != GQA_PICKLE_TEXT ||
        gqa_pickle_kind_of(m->v, values[1]) != GQA_PICKLE_TEXT)
        return gqa_fail(GQA_ERR_FORMAT, "a name that is no text");
    return put_global(m, gqa_pickle_text(m->v, values[0]),
                      gqa_pickle_text(m->v, values[1]));
}

/* A function or class and its arguments; and what follows them. */
static enum gqa_status call(struct machine *m, size_t n)
{
    uint32_t values[3] = {0}, result = 0;
    enum gqa_status st = pop(m, values, n);

    if (st == GQA_OK)
        st = gqa_pickle_call(&result, m->v, values[0], values[1]);
    return st == GQA_OK ? push(m, result) : st;
}

static enum gqa_status do_call(struct machine *m)
{
    return call(m, 2);
}

static enum gqa_status do_call_by_name(struct machine *m)
{
    return call(m, 3);
}

/* Attributes: a state dict's versions of modules, an object's. */
static enum gqa_status do_build(struct machine *m)
{
    uint32_t state = 0, of = 0;
    enum gqa_status st = pop(m, &state, 1);

    if (st == GQA_OK)
        st = top(m, &of);
    if (st != GQA_OK)
        return st;
    if (gqa_pickle_kind_of(m->v, of) != GQA_PICKLE_DICT &&
        gqa_pickle_kind_of(m->v, of) != GQA_PICKLE_OBJECT)
        return gqa_fail(GQA_ERR_FORMAT, "attributes of what has none");
    return GQA_OK;
}

static enum gqa_status do_persistent(struct machine *m)
{
    uint32_t id = 0, storage = 0;
    enum gqa_status st = pop(m, &id, 1);

    if (st == GQA_OK)
        st = gqa_pickle_find_storage(&storage, m->v, id);
    return st == GQA_OK ? push(m, storage) : st;
}

static enum gqa_status do_protocol(struct machine *m)
{
    uint64_t protocol;
    const enum gqa_status st = gqa_input_number(m->in, &protocol, 1);

    if (st == GQA_OK && protocol > HIGHEST_PROTOCOL)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "protocol %" PRIu64 "; the newest that is read is %d",
                        protocol, HIGHEST_PROTOCOL);
    return st;
}

/* Only tells how much may be read at once. */
static enum gqa_status do_frame(struct machine *m)
{
    uint64_t n_bytes;

    return gqa_input_number(m->in, &n_bytes, 8);
}

/* Those of pickletools.py that PyTorch's own reader takes, and those by which
 * newer protocols write the same. */
static enum gqa_status (*const operations[256])(struct machine *m) = {
    ['('] = do_mark,          [')'] = do_empty_tuple,   ['0'] = do_pop,
    ['1'] = do_pop_mark,      ['2'] = do_dup,           ['B'] = do_bytes4,
    ['C'] = do_bytes1,        ['G'] = do_real,          ['J'] = do_int4,
    ['K'] = do_int1,          ['M'] = do_int2,          ['N'] = do_none,
    ['Q'] = do_persistent,    ['R'] = do_call,          ['T'] = do_text4,
    ['U'] = do_text1,         ['X'] = do_text4,         [']'] = do_empty_list,
    ['a'] = do_append,        ['b'] = do_build,         ['c'] = do_global,
    ['e'] = do_appends,       ['h'] = do_get1,          ['j'] = do_get4,
    ['l'] = do_list,          ['q'] = do_put1,          ['r'] = do_put4,
    ['s'] = do_setitem,       ['t'] = do_tuple,         ['u'] = do_setitems,
    ['}'] = do_empty_dict,    [0x80] = do_protocol,     [0x81] = do_call,
    [0x85] = do_tuple1,       [0x86] = do_tuple2,       [0x87] = do_tuple3,
    [0x88] = do_true,         [0x89] = do_false,        [0x8a] = do_long1,
    [0x8c] = do_text1,        [0x8d] = do_text8,        [0x8e] = do_bytes8,
    [0x8f] = do_empty_set,    [0x90] = do_additems,     [0x91] = do_frozenset,
    [0x92] = do_call_by_name, [0x93] = do_stack_global, [0x94] = do_memoize,
    [0x95] = do_frame,        [0x96] = do_bytes8,
};

static enum gqa_status run(struct machine *m, uint32_t *root)
{
    enum gqa_status st = GQA_OK;
    unsigned char code;

    while (st == GQA_OK) {
        const uint64_t at = gqa_input_at(m->in);

        if (at > GQA_PICKLE_MAX_BYTES)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the pickle has more than %" PRIu64
                            " bytes; no checkpoint has as many",
                            GQA_PICKLE_MAX_BYTES);
        st = gqa_input_take(m->in, &code, 1);
        if (st == GQA_OK && code == '.')
            return pop(m, root, 1);
        if (st == GQA_OK && !operations[code])
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "code 0x%02x of a pickle, which PyTorch does not "
                          "write",
                          code);
        else if (st == GQA_OK)
            st = operations[code](m);
        if (st != GQA_OK)
            st = gqa_fail_prefix(st, "byte %" PRIu64, at);
    }
    return st;
}

enum gqa_status gqa_unpickle(uint32_t *root, struct gqa_pickle_values *values,
                             struct gqa_input *in)
{
    struct machine m = {.in = in, .v = values};
    const enum gqa_status st = run(&m, root);

    free(m.stack.at);
    free(m.marks.at);
    free(m.memo.at);
    return st;
}
