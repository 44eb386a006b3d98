#include "formats/zip/archive.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/file.h"

/* Records, without what follows them: APPNOTE.TXT 4.3 */
enum {
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    MAX_COMMENT = 65535,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    STORED = 0,
    DEFLATED = 8,
    /* No deflated byte makes more than that. */
    MOST_OF_A_BYTE = 1032,
};

#define MAX_DIRECTORY_BYTES ((uint64_t)64 << 20)

/* Of a field of 16 or 32 bits: the number stands in the record of zip64. */
#define IN_ZIP64_16 0xffffu
#define IN_ZIP64_32 0xffffffffu

/* Where the directory lies and how many entries it has. */
struct directory {
    uint64_t n_entries, n_bytes, offset;
};

static uint64_t number(const unsigned char *at, size_t n_bytes)
{
    uint64_t value = 0;

    while (n_bytes-- > 0)
        value = value << 8 | at[n_bytes];
    return value;
}

#define U16(at) ((uint32_t)number(at, 2))
#define U32(at) ((uint32_t)number(at, 4))
#define U64(at) number(at, 8)

static enum gqa_status refuse_cut(void)
{
    return gqa_fail(GQA_ERR_FORMAT,
                    "a zip archive without its end, which lists what is in "
                    "it; the file is cut off");
}

/* The last record, which a comment may follow, up to the file's end. */
static enum gqa_status find_end(uint64_t *at, unsigned char *end, int fd,
                                uint64_t size)
{
    const size_t n = (size_t)gqa_min_u64(size, END_BYTES + MAX_COMMENT);
    unsigned char *tail;
    enum gqa_status st;

    if (size < END_BYTES)
        return refuse_cut();
    tail = malloc(n);
    if (!tail)
        return gqa_fail_nomem();
    st = gqa_file_read(fd, tail, n, size - n);
    for (size_t i = n - END_BYTES + 1; st == GQA_OK && i-- > 0;)
        if (memcmp(tail + i, "PK\5\6", 4) == 0 &&
            U16(tail + i + 20) == n - i - END_BYTES) {
            *at = size - n + i;
            memcpy(end, tail + i, END_BYTES);
            free(tail);
            return GQA_OK;
        }
    free(tail);
    return st == GQA_OK ? refuse_cut() : st;
}

static enum gqa_status refuse_ends(void)
{
    return gqa_fail(GQA_ERR_FORMAT,
                    "the two records at the end of the zip archive contradict "
                    "each other");
}

static bool agrees(uint64_t small, uint64_t in_zip64, uint64_t large)
{
    return small == in_zip64 || small == large;
}

/* The record of zip64 that a locator before the last record tells of. */
static enum gqa_status read_end64(struct directory *d, int fd, uint64_t at,
                                  uint64_t locator_at)
{
    unsigned char end[END64_BYTES];
    enum gqa_status st;

    if (at > locator_at || locator_at - at < END64_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the zip archive's end points to byte %" PRIu64
                        ", where its directory cannot end",
                        at);
    if ((st = gqa_file_read(fd, end, sizeof end, at)) != GQA_OK)
        return st;
    if (memcmp(end, "PK\6\6", 4) != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "no record of zip64 at byte %" PRIu64
                        ", where the zip archive's end points",
                        at);
    if (U32(end + 16) != 0 || U32(end + 20) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "one of several zip files");
    if (!agrees(d->n_entries, IN_ZIP64_16, U64(end + 32)) ||
        !agrees(d->n_bytes, IN_ZIP64_32, U64(end + 40)) ||
        !agrees(d->offset, IN_ZIP64_32, U64(end + 48)))
        return refuse_ends();
    d->n_entries = U64(end + 32);
    d->n_bytes = U64(end + 40);
    d->offset = U64(end + 48);
    return GQA_OK;
}

static enum gqa_status find_directory(struct directory *d, int fd,
                                      uint64_t size)
{
    unsigned char end[END_BYTES], locator[LOCATOR_BYTES] = {0};
    enum gqa_status st;
    uint64_t at = 0;

    if ((st = find_end(&at, end, fd, size)) != GQA_OK)
        return st;
    if (U16(end + 4) != 0 || U16(end + 6) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "one of several zip files");
    d->n_entries = U16(end + 10);
    d->n_bytes = U32(end + 12);
    d->offset = U32(end + 16);
    if (at >= LOCATOR_BYTES) {
        at -= LOCATOR_BYTES;
        st = gqa_file_read(fd, locator, sizeof locator, at);
        if (st != GQA_OK)
            return st;
        if (memcmp(locator, "PK\6\7", 4) == 0) {
            const uint64_t end64_at = U64(locator + 8);

            if ((st = read_end64(d, fd, end64_at, at)) != GQA_OK)
                return st;
            at = end64_at;
        } else {
            at += LOCATOR_BYTES;
        }
    }
    if (d->offset > at || d->n_bytes != at - d->offset)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the zip archive's directory (%" PRIu64
                        " bytes from byte %" PRIu64
                        ") does not lie before its end at byte %" PRIu64,
                        d->n_bytes, d->offset, at);
    if (d->n_bytes > MAX_DIRECTORY_BYTES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a zip archive with a directory of %" PRIu64
                        " bytes; at most %" PRIu64 " are read",
                        d->n_bytes, MAX_DIRECTORY_BYTES);
    if (d->n_entries > d->n_bytes / ENTRY_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the zip archive claims %" PRIu64
                        " members in a directory of %" PRIu64 " bytes",
                        d->n_entries, d->n_bytes);
    return GQA_OK;
}

/* Of the fields that are too small the large ones, in their order. */
static bool read_large(struct gqa_zip_member *m, const unsigned char *extra,
                       size_t n)
{
    uint64_t *const fields[] = {&m->n_unpacked, &m->n_bytes, &m->header};
    const unsigned char *end = extra + n, *at = NULL;

    while (end - extra >= 4 && !at) {
        const size_t length = U16(extra + 2);

        if ((size_t)(end - extra) - 4 < length)
            return false;
        if (U16(extra) == EXTRA_ZIP64) {
            at = extra + 4;
            end = at + length;
        }
        extra += 4 + length;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (*fields[i] != IN_ZIP64_32)
            continue;
        if (!at || end - at < 8)
            return false;
        *fields[i] = U64(at);
        at += 8;
    }
    return true;
}

static enum gqa_status check_entry(const struct gqa_zip_member *m,
                                   const unsigned char *entry)
{
    if (U16(entry + 8) & FLAG_ENCRYPTED)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s is encrypted", m->name);
    if (U16(entry + 10) != STORED && U16(entry + 10) != DEFLATED)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s is compressed by method %u of zip, not stored or "
                        "deflated",
                        m->name, U16(entry + 10));
    if (!m->is_deflated && m->n_bytes != m->n_unpacked)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s is stored in %" PRIu64 " bytes and has %" PRIu64,
                        m->name, m->n_bytes, m->n_unpacked);
    if (m->n_unpacked / MOST_OF_A_BYTE > m->n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %" PRIu64 " bytes cannot hold the %" PRIu64
                        " that it says",
                        m->name, m->n_bytes, m->n_unpacked);
    return GQA_OK;
}

/* The header before a member's bytes, which says where these begin. */
static enum gqa_status read_local(struct gqa_zip_member *m, int fd,
                                  uint64_t end)
{
    const size_t name_bytes = strlen(m->name), n = LOCAL_BYTES + name_bytes;
    unsigned char local[LOCAL_BYTES + UINT16_MAX];
    enum gqa_status st;

    if (m->header > end || end - m->header < n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s begins at byte %" PRIu64
                        ", outside of the archive's %" PRIu64 " bytes",
                        m->name, m->header, end);
    if ((st = gqa_file_read(fd, local, n, m->header)) != GQA_OK)
        return st;
    if (memcmp(local, "PK\3\4", 4) != 0 || U16(local + 26) != name_bytes ||
        memcmp(local + LOCAL_BYTES, m->name, name_bytes) != 0 ||
        (U16(local + 8) == DEFLATED) != m->is_deflated)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: at byte %" PRIu64
                        " is not what the archive's directory says",
                        m->name, m->header);
    m->offset = m->header + n + U16(local + 28);
    if (m->offset > end || m->n_bytes > end - m->offset)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %" PRIu64 " bytes from byte %" PRIu64
                        " on are more than the archive has before its "
                        "directory at byte %" PRIu64,
                        m->name, m->n_bytes, m->offset, end);
    return GQA_OK;
}

/* Names are moved together in the directory's own memory: each begins behind
 * the fields of its entry and ends no later than it did, for its end mark. */
static enum gqa_status read_entries(struct gqa_zip *zip,
                                    const struct directory *d,
                                    unsigned char *bytes, int fd)
{
    uint64_t at = 0, kept = 0;

    for (uint64_t i = 0; i < d->n_entries; i++) {
        struct gqa_zip_member *m = &zip->members[zip->n];
        unsigned char *entry = bytes + at, fixed[ENTRY_BYTES];
        const uint64_t left = d->n_bytes - at;
        uint64_t name_bytes, extra_bytes, n;
        enum gqa_status st;
        bool is_large;

        if (left < ENTRY_BYTES || memcmp(entry, "PK\1\2", 4) != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "member %" PRIu64
                            " of the zip archive's directory is damaged",
                            i);
        memcpy(fixed, entry, sizeof fixed);
        name_bytes = U16(fixed + 28);
        extra_bytes = U16(fixed + 30);
        n = ENTRY_BYTES + name_bytes + extra_bytes + U16(fixed + 32);
        if (n > left || memchr(entry + ENTRY_BYTES, 0, name_bytes))
            return gqa_fail(GQA_ERR_FORMAT,
                            "member %" PRIu64
                            " of the zip archive's directory is damaged",
                            i);
        m->crc = U32(fixed + 16);
        m->n_bytes = U32(fixed + 20);
        m->n_unpacked = U32(fixed + 24);
        m->header = U32(fixed + 42);
        m->is_deflated = U16(fixed + 10) == DEFLATED;
        is_large = read_large(m, entry + ENTRY_BYTES + name_bytes, extra_bytes);
        memmove(bytes + kept, entry + ENTRY_BYTES, name_bytes);
        bytes[kept + name_bytes] = '\0';
        m->name = (char *)bytes + kept;
        kept += name_bytes + 1;
        at += n;
        if (!is_large)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: its sizes of zip64 are missing", m->name);
        if ((st = check_entry(m, fixed)) != GQA_OK)
            return st;
        if ((st = read_local(m, fd, d->offset)) != GQA_OK)
            return st;
        zip->n++;
    }
    if (at != d->n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes behind the last member in the zip "
                        "archive's directory",
                        d->n_bytes - at);
    return GQA_OK;
}

static int compare_places(const void *a, const void *b)
{
    const struct gqa_zip_member *x = a, *y = b;

    return (x->header > y->header) - (x->header < y->header);
}

static int compare_names(const void *a, const void *b)
{
    const struct gqa_zip_member *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static enum gqa_status check_places(struct gqa_zip *zip)
{
    qsort(zip->members, zip->n, sizeof *zip->members, compare_places);
    for (size_t i = 1; i < zip->n; i++) {
        const struct gqa_zip_member *a = &zip->members[i - 1];
        const struct gqa_zip_member *b = &zip->members[i];

        if (b->header < a->offset + a->n_bytes)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the members %s and %s of the zip archive overlap",
                            a->name, b->name);
    }
    qsort(zip->members, zip->n, sizeof *zip->members, compare_names);
    for (size_t i = 1; i < zip->n; i++)
        if (strcmp(zip->members[i - 1].name, zip->members[i].name) == 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the zip archive has two members called %s",
                            zip->members[i].name);
    return GQA_OK;
}

enum gqa_status gqa_zip_read(struct gqa_zip *zip, int fd, uint64_t size)
{
    struct directory d = {0};
    unsigned char *bytes;
    enum gqa_status st = find_directory(&d, fd, size);

    if (st != GQA_OK)
        return st;
    bytes = malloc((size_t)d.n_bytes + 1);
    zip->names = (char *)bytes;
    zip->members = calloc((size_t)d.n_entries + 1, sizeof *zip->members);
    if (!bytes || !zip->members)
        return gqa_fail_nomem();
    if ((st = gqa_file_read(fd, bytes, (size_t)d.n_bytes, d.offset)) != GQA_OK)
        return st;
    st = read_entries(zip, &d, bytes, fd);
    return st == GQA_OK ? check_places(zip) : st;
}

void gqa_zip_clear(struct gqa_zip *zip)
{
    free(zip->members);
    free(zip->names);
    memset(zip, 0, sizeof *zip);
}

const struct gqa_zip_member *gqa_zip_find(const struct gqa_zip *zip,
                                          const char *name)
{
    const struct gqa_zip_member key = {.name = name};

    return zip->n == 0 ? NULL
                       : bsearch(&key, zip->members, zip->n,
                                 sizeof *zip->members, compare_names);
}
