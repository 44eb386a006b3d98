/*
 * What the tool and its CUDA plug-in (gqa-cuda.so) know of each other. The
 * plug-in links nothing of the tool: what it needs is handed to it.
 */
#ifndef GQA_RUNTIME_CUDA_PLUGIN_H
#define GQA_RUNTIME_CUDA_PLUGIN_H

#include "runtime/backend.h"

/* The tool's side. The first member stays the first in every version. */
struct gqa_host {
    unsigned abi; /* GQA_BACKEND_ABI */
    enum gqa_status (*fail)(enum gqa_status st, const char *fmt, ...)
        GQA_PRINTF(2, 3);
};

/*
 * The plug-in's only symbol, GQA_PLUGIN_SYMBOL. Returns its backend, whose
 * `abi` the caller checks, or NULL after host->fail(): the versions differ,
 * or there is no driver or no device. The backend lives as long as the
 * plug-in is loaded; host is kept.
 */
typedef const struct gqa_backend *gqa_plugin_entry(const struct gqa_host *host);

#define GQA_PLUGIN_SYMBOL "gqa_cuda_backend"

#endif
