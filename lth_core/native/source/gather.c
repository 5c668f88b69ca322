/* Examples by index into [feature, column] by transposing eight of eight; inputs nobody reads are not touched. */
#include "network.h"
#include "simd.h"

/* Eight examples, one group of eight inputs each, into eight rows of x. */
INLINE void gather_group(const float *const rows[8], int group, int live, int features, float *x, int64_t stride) {
    v8 r[8];
    if (8 * group + 8 <= features) {
        UNROLL for (int i = 0; i < 8; i++) r[i] = load8(rows[i] + 8 * group);
    } else {
        for (int i = 0; i < 8; i++) {
            r[i] = splat(0);
            for (int j = 0; 8 * group + j < features; j++) r[i][j] = rows[i][8 * group + j];
        }
    }
    transpose8(r);
    float *to = x + (int64_t)8 * group * stride;
    if (live == 255) {
        UNROLL for (int i = 0; i < 8; i++) store8(to + i * stride, r[i]);
    } else {
        UNROLL for (int i = 0; i < 8; i++)
            if (live >> i & 1) store8(to + i * stride, r[i]);
    }
}

void gather(const Network *net, const float *images, const int32_t *examples) {
    int features = net->layers[0].in, width = net->width;
    for (int c = 0; c < net->num_chunks * width && c < net->batch; c += 8) {
        float *x = net->x + c / width * chunk_size(net, features) + c % width;
        const float *rows[8];
        for (int i = 0; i < 8; i++)
            rows[i] = c + i < net->batch ? images + (int64_t)examples[c + i] * features : net->zeros;
        for (int g = 0; g < net->num_groups; g++)
            gather_group(rows, net->groups[g], net->live[g], features, x, width);
    }
}

/* tiles[tile][feature][64] of images[num][features]; rows up to the next multiple of 16, and missing examples, are 0. */
EXPORT void lth_tiles(const float *images, const float *zeros, int64_t num, int32_t features, float *tiles) {
    int64_t rows_per_tile = round_up(features, TILE_COLS);
    for (int64_t at = 0; at < round_up(num, EVAL_WIDTH); at += 8) {
        float *x = tiles + at / EVAL_WIDTH * rows_per_tile * EVAL_WIDTH + at % EVAL_WIDTH;
        const float *rows[8];
        for (int i = 0; i < 8; i++) rows[i] = at + i < num ? images + (at + i) * features : zeros;
        for (int g = 0; 8 * g < features; g++) gather_group(rows, g, 255, features, x, EVAL_WIDTH);
    }
}
