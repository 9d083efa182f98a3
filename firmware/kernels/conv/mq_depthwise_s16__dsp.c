/* One channel at a time, copied into `map` with its pads; then windows have no limits. SPDX-License-Identifier:
 * Apache-2.0 */
#include "mq_conv.h"

#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_padded.h"

/* Sum over one window. */
static int32_t window(const int16_t *map, const int8_t *w, int32_t width, const mq_conv_shape *s) {
    int32_t acc = 0;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        for (int32_t d = 0; d < s->kernel_width; d++) {
            acc += (int32_t)map[d * s->dilation_width] * *w++;
        }
        map += s->dilation_height * width;
    }
    return acc;
}

/* What the outputs of one channel share. In `nine`: rows of three weights, columns 0 1, then column 2 with 0. */
typedef struct {
    uint32_t nine[6];
    int32_t bias;
    int32_t multiplier;
    int32_t shift;
    int32_t zero;
    int32_t low;
    int32_t high;
} channel;

static void load_nine(channel *c, const int8_t *w) {
    for (int32_t a = 0; a < 3; a++) {
        c->nine[2 * a] = mq_pack(w[3 * a], w[3 * a + 1]);
        c->nine[2 * a + 1] = mq_pack(w[3 * a + 2], 0);
    }
}

static inline int16_t finish(int32_t acc, const channel *c) {
    const int32_t value = c->zero + mq_requantise(c->bias + acc, c->multiplier, c->shift);
    return (int16_t)mq_clamp(value, c->low, c->high);
}

/* Adds one row of three to two outputs side by side. */
static inline void three(const int16_t *x, const uint32_t *w, int32_t *acc, int32_t *acc_next) {
    const uint32_t last = mq_load_halves(x + 2);
    *acc = mq_smlad(mq_load_halves(x), w[0], *acc);
    *acc_next = mq_smlad(mq_load_halves(x + 1), w[0], *acc_next);
    *acc = mq_smlad(last, w[1], *acc);
    *acc_next = mq_smlatb(last, w[1], *acc_next);
}

/* A row of outputs with windows of 3 x 3 and stride 1. `step`: from one row of a window to the next. */
static void row_of_nine(const int16_t *map, int32_t step, const channel *shared, int16_t *y, int32_t count) {
    const channel c = *shared; /* a copy, which y cannot overlap */
    for (int32_t j = 0; j < count; j += 2) {
        int32_t acc = 0;
        int32_t acc_next = 0;
        three(map, c.nine, &acc, &acc_next);
        three(map + step, c.nine + 2, &acc, &acc_next);
        three(map + 2 * step, c.nine + 4, &acc, &acc_next);
        y[j] = finish(acc, &c);
        if (j + 1 < count) {
            y[j + 1] = finish(acc_next, &c);
        }
        map += 2;
    }
}

void mq_depthwise_s16(const int16_t *x, const int8_t *w, int16_t *y, int16_t *map, const mq_conv_shape *s,
                      const mq_conv_params *p) {
    const int32_t height = mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const int32_t width = mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    const int32_t taps = s->kernel_height * s->kernel_width;
    const int32_t is_nine =
        s->kernel_height == 3 && s->kernel_width == 3 && s->dilation_width == 1 && s->stride_width == 1;
    mq_pads(map, height, width, 0);
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t k = 0; k < s->groups; k++) {
            const int8_t *weights = w + k * taps;
            channel c = {{0}, p->bias[k], p->multiplier[k], p->shift[k], p->y_zero, p->low, p->high};
            if (is_nine) {
                load_nine(&c, weights);
            }
            mq_pad_s16(map, x, s, height, width);
            for (int32_t i = 0; i < s->out_height; i++) {
                const int16_t *at = map + i * s->stride_height * width;
                if (is_nine) {
                    row_of_nine(at, s->dilation_height * width, &c, y, s->out_width);
                } else {
                    for (int32_t j = 0; j < s->out_width; j++) {
                        y[j] = finish(window(at + j * s->stride_width, weights, width, s), &c);
                    }
                }
                y += s->out_width;
            }
            x += s->in_height * s->in_width;
        }
    }
}
