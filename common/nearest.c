#include "common/nearest.h"

#include <stdint.h>
#include <string.h>

#include "common/bounds.h"

enum { MAX_WORD = 63 };

size_t gqa_word_distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    /* Rows i - 2, i - 1 and i of the table of prefixes' distances. */
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    if (n > MAX_WORD || m > MAX_WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *const spare = before;

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = gqa_min_size(last[j], row[j - 1]) + 1;
            row[j] = gqa_min_size(row[j], last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = gqa_min_size(row[j], before[j - 2] + 1);
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

bool gqa_word_is_near(size_t length, size_t distance)
{
    return distance <= (length + 2) / 3 && distance < length;
}
