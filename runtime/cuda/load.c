#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/backend.h"
#include "runtime/cuda/plugin.h"

#define PLUGIN "gqa-cuda.so"

/* Where it may lie as seen from the executable's folder: beside what is
 * installed, or in the build tree. */
static const char *const relative[] = {
    "../" GQA_LIBDIR "/gqa-tools/" PLUGIN,
    "../runtime/" PLUGIN,
};

static const char installed[] = GQA_FULL_LIBDIR "/gqa-tools/" PLUGIN;

static const struct gqa_host host = {GQA_BACKEND_ABI, gqa_fail};

/* Put the path of folder(executable)/name in path; false where too long. */
static bool beside_executable(char path[PATH_MAX], const char *name)
{
    char self[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;
    int length;

    if (n < 0)
        return false;
    self[n] = '\0';
    if (!(slash = strrchr(self, '/')))
        return false;
    length =
        snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - self), self, name);
    return length > 0 && length < PATH_MAX;
}

/* The loader would wait for a pipe. */
static bool is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
           access(path, R_OK) == 0;
}

static enum gqa_status find(char path[PATH_MAX])
{
    const char *set = getenv("GQA_CUDA_PLUGIN");

    if (set && *set) {
        if (strlen(set) >= PATH_MAX || !is_file(set))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "no CUDA plug-in at %s, where GQA_CUDA_PLUGIN "
                            "points; correct or unset it",
                            set);
        strcpy(path, set);
        return GQA_OK;
    }
    for (size_t i = 0; i < sizeof relative / sizeof *relative; i++)
        if (beside_executable(path, relative[i]) && access(path, R_OK) == 0)
            return GQA_OK;
    if (access(installed, R_OK) == 0) {
        strcpy(path, installed);
        return GQA_OK;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "the CUDA plug-in is not installed: %s is not there; "
                    "build gqa-tools with -DGQA_CUDA=ON, set GQA_CUDA_PLUGIN "
                    "to the file, or run on the CPU",
                    installed);
}

static enum gqa_status load(const struct gqa_backend **out, const char *path,
                            void *plugin)
{
    const struct gqa_backend *backend;
    gqa_plugin_entry *entry;

    /* As POSIX has it: an object pointer that holds a function's. */
    *(void **)&entry = dlsym(plugin, GQA_PLUGIN_SYMBOL);
    if (!entry)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s is not the CUDA plug-in of gqa-tools: it has no "
                        "symbol " GQA_PLUGIN_SYMBOL,
                        path);
    backend = entry(&host);
    if (!backend)
        return GQA_ERR_UNSUPPORTED;
    if (backend->abi != GQA_BACKEND_ABI)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the CUDA plug-in %s is of another version: its "
                        "interface is %u and this tool's is %u; install the "
                        "two together",
                        path, backend->abi, (unsigned)GQA_BACKEND_ABI);
    *out = backend;
    return GQA_OK;
}

enum gqa_status gqa_cuda_backend_load(const struct gqa_backend **out)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static const struct gqa_backend *loaded;
    char path[PATH_MAX];
    void *plugin = NULL;
    enum gqa_status st = GQA_OK;

    pthread_mutex_lock(&mutex);
    if (loaded)
        goto done;
    if ((st = find(path)) != GQA_OK)
        goto done;
    errno = 0;
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin && errno == ENOMEM) {
        st = gqa_fail_nomem();
        goto done;
    }
    if (!plugin) {
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "the CUDA plug-in %s cannot be loaded: %s; if it lacks "
                      "a CUDA library, install that or put its folder in "
                      "LD_LIBRARY_PATH",
                      path, dlerror());
        goto done;
    }
    st = load(&loaded, path, plugin);
    if (st == GQA_OK)
        plugin = NULL; /* stays until the process ends */
done:
    if (st == GQA_OK)
        *out = loaded;
    if (plugin)
        dlclose(plugin);
    pthread_mutex_unlock(&mutex);
    return st;
}
