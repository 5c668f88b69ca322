/* The order of an epoch: Philox4x32-10 and a sort by (64 random bits, index), the integers of lth_core/random.py. */
#include "network.h"
#include "simd.h"

typedef struct {
    uint64_t bits;
    uint32_t index, unused;
} Draw;

/* Salmon et al. 2011, at the counters (element, step, 0, 0) of eight consecutive elements; first word above the second. */
static void draw8(uint64_t key, uint32_t first, uint32_t step, uint64_t bits[8]) {
    uint32_t x0[8], x1[8], x2[8], x3[8];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 8; i++) x0[i] = first + (uint32_t)i, x1[i] = step, x2[i] = 0, x3[i] = 0;
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        for (int i = 0; i < 8; i++) {
            uint64_t a = (uint64_t)x0[i] * 0xD2511F53u, b = (uint64_t)x2[i] * 0xCD9E8D57u;
            x0[i] = (uint32_t)(b >> 32) ^ x1[i] ^ k0;
            x2[i] = (uint32_t)(a >> 32) ^ x3[i] ^ k1;
            x1[i] = (uint32_t)b;
            x3[i] = (uint32_t)a;
        }
    }
    for (int i = 0; i < 8; i++) bits[i] = (uint64_t)x0[i] << 32 | x1[i];
}

/* Write the order of 0..num-1. `heads` has room for 2^bucket_bits + 1 numbers, `draws` for `num` records of 16 bytes,
   `keys` for num rounded up to eights; bucket_bits is in 1..32. */
EXPORT void lth_permutation(uint64_t key, uint32_t step, int64_t num, int32_t bucket_bits, uint64_t *keys,
                            uint32_t *heads, void *room, int32_t *out) {
    Draw *draws = room;
    int shift = 64 - bucket_bits;
    int64_t buckets = (int64_t)1 << bucket_bits;
    for (int64_t i = 0; i <= buckets; i++) heads[i] = 0;
    for (int64_t i = 0; i < num; i += 8) draw8(key, (uint32_t)i, step, keys + i);
    for (int64_t i = 0; i < num; i++) heads[(keys[i] >> shift) + 1]++;
    for (int64_t i = 0; i < buckets; i++) heads[i + 1] += heads[i];
    for (int64_t i = 0; i < num; i++) {
        uint32_t at = heads[keys[i] >> shift]++;
        draws[at] = (Draw){keys[i], (uint32_t)i, 0};
    }
    /* Almost sorted: elements stray only within their bucket. Equal bits keep the order of their indices. */
    for (int64_t i = 1; i < num; i++) {
        Draw draw = draws[i];
        int64_t j = i;
        for (; j && draws[j - 1].bits > draw.bits; j--) draws[j] = draws[j - 1];
        draws[j] = draw;
    }
    for (int64_t i = 0; i < num; i++) out[i] = (int32_t)draws[i].index;
}
