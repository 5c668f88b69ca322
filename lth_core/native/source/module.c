/* An empty Python module, so that packaging builds and finds the library; its functions are called through ctypes. */
#include <Python.h>

#include "network.h"

/* Whether this machine can run the kernels: 1, or 0 without the instructions they were compiled for. */
EXPORT int32_t lth_supported(void) {
#if defined(LTH_GENERIC) || defined(__aarch64__)
    return 1;
#elif defined(__x86_64__) && (!defined(__clang__) || defined(__AVX2__))
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

/* Digest of the sources it was built from, by which a stale build is found out. */
EXPORT const char *lth_sources(void) { return LTH_SOURCES; }

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", 0, 0, 0, 0, 0, 0, 0};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
