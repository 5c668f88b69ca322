/* What Python hands over: a network's layers, the optimizer and the buffers; every array is Python's and stays so.

   Activations and deltas of a batch lie as [chunk][feature][column]: a chunk has `width` columns (16, 32, 48 or 64),
   the last ones of the last chunk are padding; a buffer has `rows48(features)` rows, those past the features zero.
   `lth_core/native/structs.py` mirrors both structs field by field. */
#ifndef LTH_NETWORK_H
#define LTH_NETWORK_H

#include <stdint.h>

#define TILE_ROWS 6
#define TILE_COLS 16
#define TILE (TILE_ROWS * TILE_COLS)
#define EVAL_WIDTH 64
#define EXPORT __attribute__((visibility("default")))

enum kind { SGD = 0, MOMENTUM = 1, ADAM = 2 };

typedef struct {
    int32_t in, out;
    int32_t dense; /* tiles of 6 outputs x 16 inputs, or else only the survivors */
    int32_t num_rows, num_blocks, block_size, num_units, nnz;
    float *w, *m, *v; /* tiles, or survivors in the order (block of inputs, row, input), padded by zeros to eights */
    const int32_t *keep; /* tiles of -1 (kept) and 0 (pruned), or null where all are kept */
    float *bias, *bias_m, *bias_v; /* rows48(out) */
    const int32_t *rows; /* sparse: the outputs that are computed, num_rows */
    const int32_t *ptr; /* sparse: where (block, row) begins, num_blocks * num_rows + 1 */
    const uint16_t *col; /* sparse: input within its block, nnz */
    const int32_t *units, *unit_ptr; /* sparse: inputs somebody reads, num_units, and where each begins, num_units + 1 */
    const int32_t *unit_row, *unit_pos; /* sparse: who reads it, and by which survivor, nnz */
    float *y, *d, *y_eval; /* activations and deltas [chunk][rows48(out)][width]; [rows48(out)][64] */
    float *xt; /* dense: the inputs of a batch transposed, [in / 16][chunk * width][16] */
} Layer;

typedef struct {
    int32_t num_layers, batch, width, num_chunks;
    int32_t kind, decoupled;
    double momentum, weight_decay, smoothing;
    Layer *layers;
    float *x; /* gathered examples [chunk][rows48(in)][width] */
    const int32_t *groups; /* groups of eight inputs somebody reads, num_groups */
    const uint8_t *live; /* which of the eight, as bits */
    int64_t num_groups;
    const float *zeros; /* one example of zeros */
    int32_t *labels; /* of a batch, num_chunks * width */
    float *losses; /* of a batch, num_chunks * width */
    float *gradient; /* scratch for sparse and bias gradients */
} Network;

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static inline int64_t rows48(int64_t n) { return round_up(n, 48); }
static inline int64_t chunk_size(const Network *net, int64_t features) { return rows48(features) * net->width; }

struct Update; /* update.h */

/* One chunk: y = relu(W x + bias), or without the relu for the last layer. */
void dense_forward(const Layer *layer, const float *x, float *y, int width, int relu);
void sparse_forward(const Layer *layer, const float *x, float *y, int width, int relu);
/* One chunk: dx = W^T d where the input y is positive, else 0, by the weights before their update. */
void dense_backward(const Layer *layer, const float *d, const float *y, float *dx, int width);
void sparse_backward(const Layer *layer, const float *d, const float *y, float *dx, int width);
/* All chunks: dW = d x^T and the optimizer's update of weights and moments. */
void dense_update(const Network *net, const Layer *layer, const float *x, const struct Update *update);
void sparse_update(const Network *net, const Layer *layer, const float *x, const struct Update *update);
void bias_update(const Network *net, const Layer *layer, const struct Update *update);

/* One chunk of `num` real columns: losses (with smoothing) and deltas, deltas null to judge only; returns the correct. */
int softmax(const float *z, float *d, const int32_t *labels, float *losses, int classes, int num, int width,
            double smoothing, int batch);

void gather(const Network *net, const float *images, const int32_t *examples);

#endif
