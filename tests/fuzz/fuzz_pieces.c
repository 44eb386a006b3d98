/* A model of SentencePiece: any bytes. */
#include "formats/gguf/pieces.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_pieces pieces = {0};
    volatile unsigned char last = 0;

    if (gqa_pieces_parse(&pieces, data, size) == GQA_OK)
        for (size_t i = 0; i < pieces.n; i++)
            for (size_t k = 0; k < pieces.items[i].n; k++)
                last = (unsigned char)pieces.items[i].text[k];
    (void)last;
    gqa_pieces_clear(&pieces);
    return 0;
}
