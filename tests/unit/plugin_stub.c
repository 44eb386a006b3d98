/* A shared module in the CUDA plug-in's place: STUB_SYMBOL returns a backend
 * of interface STUB_ABI. */
#include "runtime/cuda/plugin.h"

gqa_plugin_entry STUB_SYMBOL;

const struct gqa_backend *STUB_SYMBOL(const struct gqa_host *host)
{
    static const struct gqa_backend backend = {.abi = STUB_ABI, .name = "stub"};

    (void)host;
    return &backend;
}
