/* Dense layers: products in register tiles, the optimizer's update in the epilogue of dW, which never reaches memory. */
#include "simd.h"
#include "update.h"

/* Inputs of 64 columns that stay in a first-level cache of 32 KB while all outputs pass over them. */
#define BLOCK_PANELS 6
/* The same for the transposed inputs in dW. */
#define GROUP_BYTES 16384

/* acc[r][c] += sum over k of w[r][k] * x[k][c], six outputs x 16 columns, over whole panels of 16 inputs */
INLINE void multiply(v8 acc[6][2], const float *w, const float *x, int64_t stride, int panels) {
    for (int p = 0; p < panels; p++, w += TILE) {
        UNROLL for (int k = 0; k < TILE_COLS; k++, x += stride) {
            v8 x0 = load8(x), x1 = load8(x + 8);
            UNROLL for (int r = 0; r < 6; r++) {
                v8 s = splat(w[r * TILE_COLS + k]);
                acc[r][0] = fma8(s, x0, acc[r][0]);
                acc[r][1] = fma8(s, x1, acc[r][1]);
            }
        }
    }
}

void dense_forward(const Layer *layer, const float *x, float *y, int width, int relu) {
    int panels = (layer->in + TILE_COLS - 1) / TILE_COLS, bands = (layer->out + TILE_ROWS - 1) / TILE_ROWS;
    for (int p = 0; p < panels; p += BLOCK_PANELS) {
        int num = panels - p < BLOCK_PANELS ? panels - p : BLOCK_PANELS, last = p + num == panels;
        for (int band = 0; band < bands; band++) {
            const float *w = layer->w + ((int64_t)band * panels + p) * TILE;
            for (int c = 0; c < width; c += 16) {
                float *out = y + (int64_t)band * TILE_ROWS * width + c;
                v8 acc[6][2];
                UNROLL for (int r = 0; r < 6; r++) {
                    v8 bias = splat(layer->bias[band * TILE_ROWS + r]);
                    acc[r][0] = p ? load8(out + r * width) : bias;
                    acc[r][1] = p ? load8(out + r * width + 8) : bias;
                }
                multiply(acc, w, x + (int64_t)p * TILE_COLS * width + c, width, num);
                UNROLL for (int r = 0; r < 6; r++) {
                    store8(out + r * width, last && relu ? relu8(acc[r][0]) : acc[r][0]);
                    store8(out + r * width + 8, last && relu ? relu8(acc[r][1]) : acc[r][1]);
                }
            }
        }
    }
}

/* Four inputs x 16 columns of W^T d, then the derivative of the relu. */
INLINE void backward_tile(const float *w, int64_t next, int bands, const float *d, int width, const float *y, float *dx) {
    v8 acc[4][2];
    UNROLL for (int i = 0; i < 4; i++) acc[i][0] = acc[i][1] = splat(0);
    for (int band = 0; band < bands; band++, w += next) {
        UNROLL for (int r = 0; r < TILE_ROWS; r++, d += width) {
            v8 d0 = load8(d), d1 = load8(d + 8);
            UNROLL for (int i = 0; i < 4; i++) {
                v8 s = splat(w[r * TILE_COLS + i]);
                acc[i][0] = fma8(s, d0, acc[i][0]);
                acc[i][1] = fma8(s, d1, acc[i][1]);
            }
        }
    }
    UNROLL for (int i = 0; i < 4; i++) {
        UNROLL for (int h = 0; h < 2; h++) {
            v8i off = load8(y + i * width + 8 * h) <= splat(0);
            store8(dx + i * width + 8 * h, (v8)(~off & (v8i)acc[i][h]));
        }
    }
}

void dense_backward(const Layer *layer, const float *d, const float *y, float *dx, int width) {
    int panels = (layer->in + TILE_COLS - 1) / TILE_COLS, bands = (layer->out + TILE_ROWS - 1) / TILE_ROWS;
    for (int p = 0; p < panels; p++) {
        for (int i = 0; i < TILE_COLS; i += 4) {
            const float *w = layer->w + (int64_t)p * TILE + i;
            int64_t at = ((int64_t)p * TILE_COLS + i) * width;
            for (int c = 0; c < width; c += 16)
                backward_tile(w, (int64_t)panels * TILE, bands, d + c, width, y + at + c, dx + at + c);
        }
    }
}

/* xt[panel][column][16] of x[chunk][feature][column] */
static void transpose_inputs(const Network *net, const Layer *layer, const float *x) {
    int width = net->width, panels = (layer->in + TILE_COLS - 1) / TILE_COLS;
    int64_t columns = (int64_t)net->num_chunks * width;
    for (int chunk = 0; chunk < net->num_chunks; chunk++, x += chunk_size(net, layer->in)) {
        for (int half = 0; half < 2 * panels; half++) {
            for (int c = 0; c < width; c += 8) {
                float *to = layer->xt + ((half / 2) * columns + chunk * width + c) * TILE_COLS + half % 2 * 8;
                v8 r[8];
                UNROLL for (int i = 0; i < 8; i++) r[i] = load8(x + ((int64_t)half * 8 + i) * width + c);
                transpose8(r);
                UNROLL for (int i = 0; i < 8; i++) store8(to + i * TILE_COLS, r[i]);
            }
        }
    }
}

/* acc[r][i] += sum over b of d[r][b] * xt[b][i], six outputs x 16 inputs */
INLINE void multiply_columns(v8 acc[6][2], const float *d, const float *xt, int64_t width, int64_t num) {
    const float *low = d, *high = d + 3 * width;
    for (const float *end = d + num; low < end; low++, high++, xt += TILE_COLS) {
        v8 x0 = load8(xt), x1 = load8(xt + 8);
        UNROLL for (int r = 0; r < 6; r++) {
            v8 s = splat(r < 3 ? low[r * width] : high[(r - 3) * width]);
            acc[r][0] = fma8(s, x0, acc[r][0]);
            acc[r][1] = fma8(s, x1, acc[r][1]);
        }
    }
}

/* Bring a tile of weights and moments near while the one before is computed. */
INLINE void fetch_tile(int kind, const Layer *layer, int64_t tile) {
    UNROLL for (int i = 0; i < TILE; i += 16) {
        __builtin_prefetch(layer->w + tile * TILE + i, 1, 3);
        if (kind != SGD) __builtin_prefetch(layer->m + tile * TILE + i, 1, 3);
        if (kind == ADAM) __builtin_prefetch(layer->v + tile * TILE + i, 1, 3);
    }
}

/* One tile of dW in registers, over the real columns of all chunks, and its update. */
INLINE void update_tile(int kind, int masked, const Network *net, const Layer *layer, const Update *u, int band,
                        const float *xt, int64_t tile, int64_t next) {
    int64_t width = net->width, left = net->batch;
    const float *d = layer->d + band * TILE_ROWS * width;
    v8 acc[6][2];
    UNROLL for (int r = 0; r < 6; r++) acc[r][0] = acc[r][1] = splat(0);
    fetch_tile(kind, layer, next);
    for (; left > 0; left -= width, d += chunk_size(net, layer->out), xt += width * TILE_COLS)
        multiply_columns(acc, d, xt, width, left < width ? left : width);
    UNROLL for (int r = 0; r < 6; r++) {
        UNROLL for (int h = 0; h < 2; h++) {
            int64_t at = tile * TILE + r * TILE_COLS + 8 * h;
            v8 g = acc[r][h];
            if (masked) g = (v8)((v8i)g & load8i(layer->keep + at));
            update8(kind, u, layer->w + at, layer->m + at, layer->v + at, g);
        }
    }
}

INLINE void update_tiles(int kind, int masked, const Network *net, const Layer *layer, const Update *update) {
    const Update copy = *update, *u = &copy; /* no store of weights can alias it */
    int panels = (layer->in + TILE_COLS - 1) / TILE_COLS, bands = (layer->out + TILE_ROWS - 1) / TILE_ROWS;
    int64_t panel = (int64_t)net->num_chunks * net->width * TILE_COLS;
    int group = (int)(GROUP_BYTES / (panel * 4)) > 1 ? (int)(GROUP_BYTES / (panel * 4)) : 1;
    for (int first = 0; first < panels; first += group) {
        int end = first + group < panels ? first + group : panels;
        for (int band = 0; band < bands; band++) {
            for (int p = first; p < end; p++) {
                int64_t tile = (int64_t)band * panels + p, below = tile + panels - (end - 1 - first);
                int64_t next = p + 1 < end ? tile + 1 : band + 1 < bands ? below : tile;
                update_tile(kind, masked, net, layer, u, band, layer->xt + p * panel, tile, next);
            }
        }
    }
}

static void update_sgd(const Network *net, const Layer *layer, const Update *u) {
    if (layer->keep) update_tiles(SGD, 1, net, layer, u);
    else update_tiles(SGD, 0, net, layer, u);
}

static void update_momentum(const Network *net, const Layer *layer, const Update *u) {
    if (layer->keep) update_tiles(MOMENTUM, 1, net, layer, u);
    else update_tiles(MOMENTUM, 0, net, layer, u);
}

static void update_adam(const Network *net, const Layer *layer, const Update *u) {
    if (layer->keep) update_tiles(ADAM, 1, net, layer, u);
    else update_tiles(ADAM, 0, net, layer, u);
}

void dense_update(const Network *net, const Layer *layer, const float *x, const Update *u) {
    transpose_inputs(net, layer, x);
    if (u->kind == ADAM) update_adam(net, layer, u);
    else if (u->kind == MOMENTUM) update_momentum(net, layer, u);
    else update_sgd(net, layer, u);
}
