/* exp and log of eight floats, so that no version of a mathematical library enters the bits. */
#ifndef LTH_ELEMENTARY_H
#define LTH_ELEMENTARY_H

#include "simd.h"

/* exp(x) for x <= 88: x = n ln 2 + r with |r| <= ln 2 / 2, a Taylor polynomial of degree 7, times 2^n in two factors so
   that subnormal results come out too. NaN stays NaN. */
INLINE v8 exp8(v8 x) {
    const v8 magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    x = select8(x < splat(-104.0f), splat(-104.0f), x);
    v8 shifted = fma8(x, splat(0x1.715476p+0f), magic);
    v8 n = shifted - magic;
    v8 r = fma8(n, splat(-0x1.62e400p-1f), x);
    r = fma8(n, splat(-0x1.7f7d1cp-20f), r);
    v8 p = splat(1.0f / 5040);
    p = fma8(p, r, splat(1.0f / 720));
    p = fma8(p, r, splat(1.0f / 120));
    p = fma8(p, r, splat(1.0f / 24));
    p = fma8(p, r, splat(1.0f / 6));
    p = fma8(p, r, splat(0.5f));
    p = fma8(p, r, splat(1.0f));
    p = fma8(p, r, splat(1.0f));
    v8i whole = (v8i)shifted - (v8i)magic;
    v8i half = whole >> 1;
    v8 low = (v8)((half + 127) << 23), high = (v8)((whole - half + 127) << 23);
    return p * low * high;
}

/* log(x) for normal x > 0: x = 2^n (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), log(1 + f) = 2 atanh(s), s = f / (2 + f).
   NaN stays NaN. */
INLINE v8 log8(v8 x) {
    v8i bits = (v8i)x - 0x3f3504f3; /* the bits of sqrt(1/2) */
    v8i whole = bits >> 23;
    v8 n = __builtin_convertvector(whole, v8);
    v8 f = (v8)((bits & 0x7fffff) + 0x3f3504f3) - splat(1.0f);
    v8 s = f / (splat(2.0f) + f);
    v8 z = s * s;
    v8 p = splat(2.0f / 11);
    p = fma8(p, z, splat(2.0f / 9));
    p = fma8(p, z, splat(2.0f / 7));
    p = fma8(p, z, splat(2.0f / 5));
    p = fma8(p, z, splat(2.0f / 3));
    /* log(1 + f) = f - s (f - z p), where only the second term is rounded noticeably */
    v8 rest = s * (f - z * p);
    v8 result = fma8(n, splat(0x1.62e400p-1f), f - (rest - n * splat(0x1.7f7d1cp-20f)));
    return select8(x == x, result, x);
}

#endif
