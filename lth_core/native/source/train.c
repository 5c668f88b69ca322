/* Training steps and evaluation of a whole network: gather, forward, loss, backward by the old weights, update. */
#include "network.h"
#include "update.h"

static void forward(const Layer *layer, const float *x, float *y, int width, int relu) {
    if (layer->dense) dense_forward(layer, x, y, width, relu);
    else sparse_forward(layer, x, y, width, relu);
}

static double power(double base, int64_t exponent) {
    double result = 1;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

/* The numbers of update number `count`, the first being 1. */
static Update numbers(const Network *net, double lr, int64_t count) {
    Update u = {net->kind, (float)lr, 0, (float)net->momentum, 0, 1};
    if (net->decoupled) u.shrink = (float)(1 - lr * net->weight_decay);
    else u.decay = (float)net->weight_decay;
    if (net->kind == ADAM) {
        double root = __builtin_sqrt(1 - power(BETA2, count));
        u.rate = (float)(lr * root / (1 - power(BETA1, count)));
        u.epsilon = (float)(EPSILON * root);
    }
    return u;
}

static void forward_all(const Network *net) {
    for (int l = 0; l < net->num_layers; l++) {
        const Layer *layer = net->layers + l;
        const float *x = l ? layer[-1].y : net->x;
        for (int chunk = 0; chunk < net->num_chunks; chunk++)
            forward(layer, x + chunk * chunk_size(net, layer->in), layer->y + chunk * chunk_size(net, layer->out),
                    net->width, l + 1 < net->num_layers);
    }
}

static double loss_all(const Network *net, int *num_correct) {
    const Layer *last = net->layers + net->num_layers - 1;
    for (int chunk = 0; chunk < net->num_chunks; chunk++) {
        int64_t at = chunk * chunk_size(net, last->out);
        int first = chunk * net->width, left = net->batch - first;
        *num_correct += softmax(last->y + at, last->d + at, net->labels + first, net->losses + first, last->out,
                                left < net->width ? left : net->width, net->width, net->smoothing, net->batch);
    }
    double sum = 0;
    for (int b = 0; b < net->batch; b++) sum += net->losses[b];
    return sum / net->batch;
}

static void backward_all(const Network *net, const Update *u) {
    for (int l = net->num_layers - 1; l >= 0; l--) {
        const Layer *layer = net->layers + l;
        for (int chunk = 0; l && chunk < net->num_chunks; chunk++) {
            const float *d = layer->d + chunk * chunk_size(net, layer->out);
            int64_t at = chunk * chunk_size(net, layer->in);
            if (layer->dense) dense_backward(layer, d, layer[-1].y + at, layer[-1].d + at, net->width);
            else sparse_backward(layer, d, layer[-1].y + at, layer[-1].d + at, net->width);
        }
        const float *x = l ? layer[-1].y : net->x;
        if (layer->dense) dense_update(net, layer, x, u);
        else sparse_update(net, layer, x, u);
        bias_update(net, layer, u);
    }
}

/* `steps` updates on the batches order[steps][batch], after `count` earlier ones. */
EXPORT void lth_train(Network *net, const float *images, const int32_t *labels, const int32_t *order, const double *lr,
                      int64_t steps, int64_t count, double *losses, int32_t *num_correct) {
    for (int64_t s = 0; s < steps; s++, order += net->batch) {
        Update u = numbers(net, lr[s], count + s + 1);
        int correct = 0;
        gather(net, images, order);
        for (int b = 0; b < net->num_chunks * net->width; b++) net->labels[b] = b < net->batch ? labels[order[b]] : -1;
        forward_all(net);
        losses[s] = loss_all(net, &correct);
        num_correct[s] = correct;
        backward_all(net, &u);
    }
}

/* The plain cross-entropy summed over `num` examples in double, in their order, and how many are classified correctly. */
EXPORT double lth_evaluate(Network *net, const float *tiles, const int32_t *labels, int64_t num, int64_t *num_correct) {
    const Layer *last = net->layers + net->num_layers - 1;
    int64_t tile_size = round_up(net->layers->in, TILE_COLS) * EVAL_WIDTH;
    double sum = 0;
    *num_correct = 0;
    for (int64_t first = 0; first < num; first += EVAL_WIDTH, tiles += tile_size) {
        int32_t wanted[EVAL_WIDTH];
        float found[EVAL_WIDTH];
        int real = num - first < EVAL_WIDTH ? (int)(num - first) : EVAL_WIDTH;
        for (int i = 0; i < EVAL_WIDTH; i++) wanted[i] = i < real ? labels[first + i] : -1;
        for (int l = 0; l < net->num_layers; l++) {
            const Layer *layer = net->layers + l;
            forward(layer, l ? layer[-1].y_eval : tiles, layer->y_eval, EVAL_WIDTH, l + 1 < net->num_layers);
        }
        *num_correct += softmax(last->y_eval, 0, wanted, found, last->out, real, EVAL_WIDTH, 0, 1);
        for (int i = 0; i < real; i++) sum += found[i];
    }
    return sum;
}
