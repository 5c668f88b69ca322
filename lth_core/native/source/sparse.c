/* Sparse layers: one scalar times one contiguous row of the batch per survivor; nothing exists for pruned weights. */
#include "simd.h"
#include "update.h"

/* Survivors whose gradients wait for one update of all: enough that division and square root flow. */
#define PENDING 256

/* n vectors of eight columns per row */
INLINE void forward_rows(int n, const Layer *layer, const float *x, float *y, int relu) {
    int width = 8 * n, rows = layer->num_rows;
    for (int block = 0; block < layer->num_blocks; block++) {
        const float *inputs = x + (int64_t)block * layer->block_size * width;
        const int32_t *ptr = layer->ptr + (int64_t)block * rows;
        int clip = relu && block == layer->num_blocks - 1;
        for (int row = 0; row < rows; row++) {
            float *out = y + (int64_t)layer->rows[row] * width;
            v8 acc[8];
            UNROLL for (int j = 0; j < n; j++) acc[j] = block ? load8(out + 8 * j) : splat(layer->bias[layer->rows[row]]);
            for (int k = ptr[row]; k < ptr[row + 1]; k++) {
                const float *input = inputs + (int64_t)layer->col[k] * width;
                v8 w = splat(layer->w[k]);
                UNROLL for (int j = 0; j < n; j++) acc[j] = fma8(w, load8(input + 8 * j), acc[j]);
            }
            UNROLL for (int j = 0; j < n; j++) store8(out + 8 * j, clip ? relu8(acc[j]) : acc[j]);
        }
    }
}

void sparse_forward(const Layer *layer, const float *x, float *y, int width, int relu) {
    if (width == 64) forward_rows(8, layer, x, y, relu);
    else if (width == 48) forward_rows(6, layer, x, y, relu);
    else if (width == 32) forward_rows(4, layer, x, y, relu);
    else forward_rows(2, layer, x, y, relu);
}

/* The same by inputs: every input sums over its readers, so that nothing is scattered. */
INLINE void backward_units(int n, const Layer *layer, const float *d, const float *y, float *dx) {
    int width = 8 * n;
    for (int unit = 0; unit < layer->num_units; unit++) {
        int64_t at = (int64_t)layer->units[unit] * width;
        v8 acc[8];
        UNROLL for (int j = 0; j < n; j++) acc[j] = splat(0);
        for (int k = layer->unit_ptr[unit]; k < layer->unit_ptr[unit + 1]; k++) {
            const float *delta = d + (int64_t)layer->unit_row[k] * width;
            v8 w = splat(layer->w[layer->unit_pos[k]]);
            UNROLL for (int j = 0; j < n; j++) acc[j] = fma8(w, load8(delta + 8 * j), acc[j]);
        }
        UNROLL for (int j = 0; j < n; j++) {
            v8i off = load8(y + at + 8 * j) <= splat(0);
            store8(dx + at + 8 * j, (v8)(~off & (v8i)acc[j]));
        }
    }
}

void sparse_backward(const Layer *layer, const float *d, const float *y, float *dx, int width) {
    if (width == 64) backward_units(8, layer, d, y, dx);
    else if (width == 48) backward_units(6, layer, d, y, dx);
    else if (width == 32) backward_units(4, layer, d, y, dx);
    else backward_units(2, layer, d, y, dx);
}

/* Sixteen running sums over the columns, joined to eight. */
INLINE v8 products(int n, const v8 *delta, const float *input) {
    v8 even = delta[0] * load8(input), odd = delta[1] * load8(input + 8);
    UNROLL for (int j = 2; j < n; j += 2) {
        even = fma8(delta[j], load8(input + 8 * j), even);
        odd = fma8(delta[j + 1], load8(input + 8 * j + 8), odd);
    }
    return even + odd;
}

/* g[k] = or += dot(delta, x[col[k]]) for num survivors; up to three numbers behind them are overwritten. */
INLINE void dots(int n, const float *d, const float *inputs, const uint16_t *col, int num, float *g, int add) {
    int64_t width = 8 * n;
    v8 delta[8];
    UNROLL for (int j = 0; j < n; j++) delta[j] = load8(d + 8 * j);
    int k = 0;
    for (; k + 4 <= num; k += 4) {
        v8 a = products(n, delta, inputs + col[k] * width), b = products(n, delta, inputs + col[k + 1] * width);
        v8 c = products(n, delta, inputs + col[k + 2] * width), e = products(n, delta, inputs + col[k + 3] * width);
        v8 sums = sums4(a, b, c, e);
        if (add) sums = sums + load8(g + k);
        store4(g + k, sums);
    }
    if (k == num) return;
    v8 a = products(n, delta, inputs + col[k] * width), b = a, c = a;
    if (k + 1 < num) b = products(n, delta, inputs + col[k + 1] * width);
    if (k + 2 < num) c = products(n, delta, inputs + col[k + 2] * width);
    v8 sums = sums4(a, b, c, c);
    if (add) sums = sums + load8(g + k);
    store4(g + k, sums);
}

INLINE void update_rows(int n, const Network *net, const Layer *layer, const float *x, const Update *u) {
    int64_t d_chunk = chunk_size(net, layer->out), x_chunk = chunk_size(net, layer->in);
    int done = 0, width = 8 * n;
    float *g = net->gradient;
    for (int block = 0; block < layer->num_blocks; block++) {
        const float *inputs = x + (int64_t)block * layer->block_size * width;
        const int32_t *ptr = layer->ptr + (int64_t)block * layer->num_rows;
        for (int row = 0; row < layer->num_rows; row++) {
            int begin = ptr[row], end = ptr[row + 1];
            const float *d = layer->d + (int64_t)layer->rows[row] * width;
            dots(n, d, inputs, layer->col + begin, end - begin, g + begin - done, 0);
            for (int chunk = 1; chunk < net->num_chunks; chunk++)
                dots(n, d + chunk * d_chunk, inputs + chunk * x_chunk, layer->col + begin, end - begin, g + begin - done, 1);
            if (end - done >= PENDING) {
                int num = (end - done) & ~7;
                update_any(u, layer->w + done, layer->m + done, layer->v + done, g, num);
                store8(g, load8(g + num));
                done += num;
            }
        }
    }
    int num = (layer->nnz - done + 7) & ~7;
    for (int k = layer->nnz - done; k < num; k++) g[k] = 0;
    update_any(u, layer->w + done, layer->m + done, layer->v + done, g, num);
}

void sparse_update(const Network *net, const Layer *layer, const float *x, const Update *u) {
    if (net->width == 64) update_rows(8, net, layer, x, u);
    else if (net->width == 48) update_rows(6, net, layer, x, u);
    else if (net->width == 32) update_rows(4, net, layer, x, u);
    else update_rows(2, net, layer, x, u);
}

void bias_update(const Network *net, const Layer *layer, const Update *u) {
    float *g = net->gradient;
    for (int row = 0; row < round_up(layer->out, 8); row++) {
        const float *d = layer->d + (int64_t)row * net->width;
        v8 sum = splat(0);
        for (int chunk = 0; chunk < net->num_chunks; chunk++, d += chunk_size(net, layer->out))
            for (int c = 0; c < net->width; c += 8) sum = sum + load8(d + c);
        store4(g + row, sums4(sum, sum, sum, sum));
    }
    update_any(u, layer->bias, layer->bias_m, layer->bias_v, g, round_up(layer->out, 8));
}
