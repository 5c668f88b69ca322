/* Softmax cross-entropy with label smoothing down the classes of every column, its delta and the correct answers. */
#include "elementary.h"
#include "network.h"

/* Eight columns. `wanted` is the label of each, -1 in padded columns, which get the delta 0. */
INLINE v8 column_losses(const float *z, float *d, v8i wanted, int classes, int width, double smoothing, int batch,
                        v8i *correct) {
    v8 top = load8(z);
    v8i best = splati(0);
    for (int c = 1; c < classes; c++) {
        v8 value = load8(z + (int64_t)c * width);
        v8i above = value > top;
        top = select8(above, value, top);
        best = (v8i)select8(above, (v8)splati(c), (v8)best);
    }
    v8 sum = splat(0), chosen = splat(0), all = splat(0);
    for (int c = 0; c < classes; c++) {
        v8 under = load8(z + (int64_t)c * width) - top;
        v8 e = exp8(under);
        sum = sum + e;
        all = all + under;
        chosen = select8(wanted == splati(c), under, chosen);
        if (d) store8(d + (int64_t)c * width, e);
    }
    *correct = best == wanted;
    v8 log_sum = log8(sum);
    if (d) {
        v8i real = wanted >= splati(0);
        v8 factor = splat(1) / sum, spread = splat((float)(smoothing / classes)), inverse = splat((float)(1.0 / batch));
        for (int c = 0; c < classes; c++) {
            v8 target = spread + (v8)((wanted == splati(c)) & (v8i)splat((float)(1 - smoothing)));
            v8 delta = fma8(load8(d + (int64_t)c * width), factor, -target) * inverse;
            store8(d + (int64_t)c * width, (v8)(real & (v8i)delta));
        }
    }
    v8 loss = log_sum - chosen;
    if (smoothing == 0) return loss;
    v8 uniform = log_sum - all * splat((float)(1.0 / classes));
    return fma8(splat((float)smoothing), uniform, splat((float)(1 - smoothing)) * loss);
}

int softmax(const float *z, float *d, const int32_t *labels, float *losses, int classes, int num, int width,
            double smoothing, int batch) {
    int num_correct = 0;
    for (int c = 0; c < width; c += 8) {
        v8i correct;
        v8i wanted = load8i(labels + c);
        store8(losses + c, column_losses(z + c, d ? d + c : 0, wanted, classes, width, smoothing, batch, &correct));
        for (int i = 0; i < 8 && c + i < num; i++) num_correct -= correct[i];
    }
    return num_correct;
}

/* For tests: out = exp(x) or log(x), num a multiple of eight. */
EXPORT void lth_exp(const float *x, float *out, int64_t num) {
    for (int64_t i = 0; i < num; i += 8) store8(out + i, exp8(load8(x + i)));
}

EXPORT void lth_log(const float *x, float *out, int64_t num) {
    for (int64_t i = 0; i < num; i += 8) store8(out + i, log8(load8(x + i)));
}
