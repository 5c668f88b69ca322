/* Eight floats at a time: the few operations the kernels need, the same bits from every instruction set they compile to.

   Fused multiply-adds are always written out, and the build forbids the compiler to fuse others (-ffp-contract=off). */
#ifndef LTH_SIMD_H
#define LTH_SIMD_H

#include <stdint.h>

#if defined(__x86_64__) && !defined(LTH_GENERIC) && (!defined(__clang__) || defined(__AVX2__))
#define LTH_AVX2 1
#if !defined(__clang__)
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>
#elif defined(__aarch64__) && !defined(LTH_GENERIC)
#define LTH_NEON 1
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

typedef float v8 __attribute__((vector_size(32), may_alias));
typedef int32_t v8i __attribute__((vector_size(32), may_alias));
typedef float v8_unaligned __attribute__((vector_size(32), may_alias, aligned(4)));
typedef int32_t v8i_unaligned __attribute__((vector_size(32), may_alias, aligned(4)));

#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (v8i){__VA_ARGS__})
#endif

INLINE v8 load8(const float *p) { return *(const v8_unaligned *)p; }
INLINE v8i load8i(const int32_t *p) { return *(const v8i_unaligned *)p; }
INLINE void store8(float *p, v8 a) { *(v8_unaligned *)p = a; }
INLINE v8 splat(float x) { return (v8){x, x, x, x, x, x, x, x}; }
INLINE v8i splati(int32_t x) { return (v8i){x, x, x, x, x, x, x, x}; }

/* a * b + c with one rounding */
INLINE v8 fma8(v8 a, v8 b, v8 c) {
#if defined(LTH_AVX2)
    return (v8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(LTH_NEON)
    union { v8 v; float32x4_t h[2]; } x = {a}, y = {b}, z = {c};
    z.h[0] = vfmaq_f32(z.h[0], x.h[0], y.h[0]);
    z.h[1] = vfmaq_f32(z.h[1], x.h[1], y.h[1]);
    return z.v;
#else
    for (int i = 0; i < 8; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

INLINE v8 sqrt8(v8 a) {
#if defined(LTH_AVX2)
    return (v8)_mm256_sqrt_ps((__m256)a);
#elif defined(LTH_NEON)
    union { v8 v; float32x4_t h[2]; } x = {a};
    x.h[0] = vsqrtq_f32(x.h[0]);
    x.h[1] = vsqrtq_f32(x.h[1]);
    return x.v;
#else
    for (int i = 0; i < 8; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

/* yes where the mask's bits are set, else no */
INLINE v8 select8(v8i mask, v8 yes, v8 no) { return (v8)((mask & (v8i)yes) | (~mask & (v8i)no)); }

/* max(x, 0); NaN stays NaN */
INLINE v8 relu8(v8 x) {
#if defined(LTH_AVX2)
    return (v8)_mm256_max_ps(_mm256_setzero_ps(), (__m256)x);
#else
    return select8(x < splat(0), splat(0), x);
#endif
}

/* (a0+a1, a2+a3, b0+b1, b2+b3, a4+a5, a6+a7, b4+b5, b6+b7) */
INLINE v8 pairs8(v8 a, v8 b) {
#if defined(LTH_AVX2)
    return (v8)_mm256_hadd_ps((__m256)a, (__m256)b);
#else
    return SHUFFLE(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + SHUFFLE(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#endif
}

/* Lanes 0..3 of the result: the sums over the lanes of a, b, c, d, each in the same fixed order. */
INLINE v8 sums4(v8 a, v8 b, v8 c, v8 d) {
    v8 s = pairs8(pairs8(a, b), pairs8(c, d));
    return s + SHUFFLE(s, s, 4, 5, 6, 7, 0, 1, 2, 3);
}

INLINE void store4(float *p, v8 a) {
    typedef float v4_unaligned __attribute__((vector_size(16), may_alias, aligned(4)));
    *(v4_unaligned *)p = (v4_unaligned){a[0], a[1], a[2], a[3]};
}

/* Transpose eight rows of eight in registers. */
INLINE void transpose8(v8 r[8]) {
    v8 a[8], b[8];
    UNROLL for (int i = 0; i < 4; i++) {
        a[2 * i] = SHUFFLE(r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[2 * i + 1] = SHUFFLE(r[2 * i], r[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL for (int h = 0; h < 2; h++) {
        UNROLL for (int i = 0; i < 2; i++) {
            b[4 * h + 2 * i] = SHUFFLE(a[4 * h + i], a[4 * h + 2 + i], 0, 1, 8, 9, 4, 5, 12, 13);
            b[4 * h + 2 * i + 1] = SHUFFLE(a[4 * h + i], a[4 * h + 2 + i], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    UNROLL for (int i = 0; i < 4; i++) {
        r[i] = SHUFFLE(b[i], b[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
        r[4 + i] = SHUFFLE(b[i], b[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

#endif
