/* One update of eight weights: SGD, momentum and Adam, with coupled and decoupled weight decay. */
#ifndef LTH_UPDATE_H
#define LTH_UPDATE_H

#include "network.h"
#include "simd.h"

/* The numbers of a step, computed in double once. Adam's bias corrections are moved into rate and epsilon:
   rate * m / (sqrt(v) + epsilon) with rate = lr * sqrt(1 - beta2^t) / (1 - beta1^t), epsilon = 1e-8 * sqrt(1 - beta2^t). */
typedef struct Update {
    int kind;
    float rate, epsilon, momentum;
    float decay; /* coupled: added to the gradient, times the weight; else 0 */
    float shrink; /* decoupled: factor of the weights before the update; else 1 */
} Update;

#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8

INLINE void update8(int kind, const Update *u, float *w, float *m, float *v, v8 g) {
    v8 weight = load8(w);
    g = fma8(splat(u->decay), weight, g);
    weight = weight * splat(u->shrink);
    if (kind == SGD) {
        store8(w, fma8(splat(-u->rate), g, weight));
        return;
    }
    if (kind == MOMENTUM) {
        g = fma8(splat(u->momentum), load8(m), g);
        store8(m, g);
        store8(w, fma8(splat(-u->rate), g, weight));
        return;
    }
    v8 mean = load8(m);
    mean = fma8(splat((float)(1 - BETA1)), g - mean, mean);
    v8 square = fma8(splat((float)(1 - BETA2)), g * g, splat((float)BETA2) * load8(v));
    store8(m, mean);
    store8(v, square);
    store8(w, weight - splat(u->rate) * mean / (sqrt8(square) + splat(u->epsilon)));
}

/* `num`, a multiple of eight, consecutive weights. */
INLINE void update_run(int kind, const Update *update, float *w, float *m, float *v, const float *g, int64_t num) {
    const Update copy = *update, *u = &copy; /* no store of weights can alias it */
    for (int64_t i = 0; i < num; i += 8) update8(kind, u, w + i, m + i, v + i, load8(g + i));
}

INLINE void update_any(const Update *u, float *w, float *m, float *v, const float *g, int64_t num) {
    if (u->kind == ADAM) update_run(ADAM, u, w, m, v, g, num);
    else if (u->kind == MOMENTUM) update_run(MOMENTUM, u, w, m, v, g, num);
    else update_run(SGD, u, w, m, v, g, num);
}

#endif
