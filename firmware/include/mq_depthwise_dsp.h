/* The depthwise convolutions with s8 weights on cores with DSP instructions; mq_conv.h has the mathematics.
 *
 * One channel at a time is copied into `map` with its pads; then windows have no limits. Behind the map lie the weights
 * of the channel, widened, each row of a window rounded up to pairs: SMLAD takes two taps of a row at a time. What a
 * pair reads behind an odd row meets a weight of 0.
 *
 * Windows of 3 x 3 with stride 1 slide down the map, two columns of outputs at a time. Each row of the map is read
 * once, 3 loads, and adds to the three windows it is the bottom, the middle and the top of, 12 products for 18 taps;
 * only the sums of the latter two, which are not complete, are kept. A file defines MQ_DEPTHWISE, the function's name,
 * and MQ_X and MQ_Y, which end a name by the format of x and y. SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_padded.h"

/* What the outputs of one channel share. `row`: values of the map from one row of a window to the next. */
typedef struct {
    const int16_t *weights;
    int32_t height;
    int32_t pairs;
    int32_t row;
    int32_t bias;
    int32_t multiplier;
    int32_t shift;
    int32_t zero;
} channel;

/* An output with a shift that is not negative. */
MQ_OUT_OF_LINE int32_t scaled_up(int32_t acc, const channel *c) {
    return c->zero + mq_requantise_up(acc, c->multiplier, c->shift);
}

static inline MQ_Y(mq_value) finish(int32_t acc, const channel *c) {
    const int32_t rounding = 1 + 2 * c->zero;
    if (c->shift < 0) {
        return MQ_Y(mq_sat)(((mq_mulh(acc, c->multiplier) >> ~c->shift) + rounding) >> 1);
    }
    return MQ_Y(mq_sat)(scaled_up(acc, c));
}

/* Limits a channel to less than its type: a pass of its own, which most layers do not need. */
static void limit(MQ_Y(mq_value) * y, int32_t count, int32_t low, int32_t high) {
    for (MQ_Y(mq_value) *end = y + count; y != end; y++) {
        *y = (MQ_Y(mq_value))mq_clamp(*y, low, high);
    }
}

/* The weights of one channel, each row rounded up to pairs. */
static void widen(const int8_t *w, int32_t height, int32_t width, int16_t *to) {
    for (int32_t a = 0; a < height; a++) {
        for (int32_t d = 0; d < width; d++) {
            *to++ = *w++;
        }
        if (width & 1) {
            *to++ = 0;
        }
    }
}

/* A row of outputs whose windows lie `stride` apart, with rows of `pairs` pairs. */
static inline void row_of_pairs(const int16_t *map, const channel *c, MQ_Y(mq_value) * y, int32_t count, int32_t stride,
                                int32_t pairs) {
    const channel own = *c; /* a copy, which y cannot overlap */
    for (const MQ_Y(mq_value) *end = y + count; y != end; map += stride) {
        const int16_t *x = map;
        const int16_t *w = own.weights;
        int32_t acc = own.bias;
        for (int32_t a = own.height; a != 0; a--) {
            for (int32_t d = 0; d < pairs; d++) {
                acc = mq_smlad(mq_load_halves(x + 2 * d), mq_load_halves(w + 2 * d), acc);
            }
            w += 2 * pairs;
            x += own.row;
        }
        *y++ = finish(acc, &own);
    }
}

/* The same with one pair, with two, with three, and with more. */
MQ_OUT_OF_LINE void row_of_1(const int16_t *map, const channel *c, MQ_Y(mq_value) * y, int32_t count, int32_t stride) {
    row_of_pairs(map, c, y, count, stride, 1);
}

MQ_OUT_OF_LINE void row_of_2(const int16_t *map, const channel *c, MQ_Y(mq_value) * y, int32_t count, int32_t stride) {
    row_of_pairs(map, c, y, count, stride, 2);
}

MQ_OUT_OF_LINE void row_of_3(const int16_t *map, const channel *c, MQ_Y(mq_value) * y, int32_t count, int32_t stride) {
    row_of_pairs(map, c, y, count, stride, 3);
}

MQ_OUT_OF_LINE void row_of_more(const int16_t *map, const channel *c, MQ_Y(mq_value) * y, int32_t count,
                                int32_t stride) {
    row_of_pairs(map, c, y, count, stride, c->pairs);
}

/* Sum over one window whose taps lie `dilation` apart. */
static inline int32_t spread_window(const int16_t *map, const channel *c, int32_t width, int32_t dilation) {
    const int16_t *w = c->weights;
    int32_t acc = c->bias;
    for (int32_t a = 0; a < c->height; a++) {
        for (int32_t d = 0; d < width; d++) {
            acc += map[d * dilation] * w[d];
        }
        w += 2 * c->pairs;
        map += c->row;
    }
    return acc;
}

/* The weights of a window of 3 x 3: columns 0 and 1 of each row, columns 2 of the first two, column 2 of the last; and
 * what requantises with a negative shift: zero + (((q >> down) + 1) >> 1) = ((q >> down) + rounding) >> 1. */
typedef struct {
    uint32_t top;
    uint32_t middle;
    uint32_t bottom;
    uint32_t right;
    uint32_t corner;
    int32_t bias;
    int32_t multiplier;
    int32_t down;
    int32_t rounding;
} nine;

static nine nine_of(const channel *c) {
    const int16_t *w = c->weights;
    const nine made = {mq_pack(w[0], w[1]), mq_pack(w[4], w[5]), mq_pack(w[8], w[9]),
                       mq_pack(w[2], w[6]), mq_pack(w[10], 0),   c->bias,
                       c->multiplier,       -c->shift - 1,       1 + 2 * c->zero};
    return made;
}

/* The sums of two windows side by side that still miss rows. */
typedef struct {
    int32_t a;
    int32_t b;
} two_sums;

/* Where the row at x is the top, the middle, the bottom of two windows. */
static inline two_sums add_top(const int16_t *x, const nine *w) {
    const uint32_t end = mq_load_halves(x + 2);
    const two_sums sums = {mq_smlabb(end, w->right, mq_smlad(mq_load_halves(x), w->top, w->bias)),
                           mq_smlatb(end, w->right, mq_smlad(mq_load_halves(x + 1), w->top, w->bias))};
    return sums;
}

static inline two_sums add_middle(two_sums acc, const int16_t *x, const nine *w) {
    const uint32_t end = mq_load_halves(x + 2);
    const two_sums sums = {mq_smlabt(end, w->right, mq_smlad(mq_load_halves(x), w->middle, acc.a)),
                           mq_smlatt(end, w->right, mq_smlad(mq_load_halves(x + 1), w->middle, acc.b))};
    return sums;
}

static inline two_sums add_bottom(two_sums acc, const int16_t *x, const nine *w) {
    const uint32_t end = mq_load_halves(x + 2);
    const two_sums sums = {mq_smlabb(end, w->corner, mq_smlad(mq_load_halves(x), w->bottom, acc.a)),
                           mq_smlatb(end, w->corner, mq_smlad(mq_load_halves(x + 1), w->bottom, acc.b))};
    return sums;
}

static inline int32_t requantised(int32_t acc, const nine *w) {
    return ((mq_mulh(acc, w->multiplier) >> w->down) + w->rounding) >> 1;
}

/* Two columns of outputs; `step`: from one of their rows to the next. */
MQ_OUT_OF_LINE void two_columns(const int16_t *map, int32_t width, const nine *shared, MQ_Y(mq_value) * y,
                                int32_t height, int32_t step) {
    const nine w = *shared; /* a copy, which y cannot overlap */
    const MQ_Y(mq_value) *end = y + height * step;
    two_sums middle = add_middle(add_top(map, &w), map + width, &w);
    two_sums top = add_top(map + width, &w);
    for (map += 2 * width; y != end; map += width) {
        const two_sums done = add_bottom(middle, map, &w);
        middle = add_middle(top, map, &w);
        top = add_top(map, &w);
        y[0] = MQ_Y(mq_sat)(requantised(done.a, &w));
        y[1] = MQ_Y(mq_sat)(requantised(done.b, &w));
        y += step;
    }
}

/* The last column of an odd number: the first of two_columns. */
MQ_OUT_OF_LINE void one_column(const int16_t *map, int32_t width, const nine *shared, MQ_Y(mq_value) * y,
                               int32_t height, int32_t step) {
    const nine w = *shared;
    const MQ_Y(mq_value) *end = y + height * step;
    int32_t top = mq_smlabb((uint32_t)map[2], w.right, mq_smlad(mq_load_halves(map), w.top, w.bias));
    map += width;
    int32_t middle = mq_smlabt((uint32_t)map[2], w.right, mq_smlad(mq_load_halves(map), w.middle, top));
    top = mq_smlabb((uint32_t)map[2], w.right, mq_smlad(mq_load_halves(map), w.top, w.bias));
    for (map += width; y != end; map += width) {
        const uint32_t x = mq_load_halves(map);
        const uint32_t last = (uint32_t)map[2];
        const int32_t done = mq_smlabb(last, w.corner, mq_smlad(x, w.bottom, middle));
        middle = mq_smlabt(last, w.right, mq_smlad(x, w.middle, top));
        top = mq_smlabb(last, w.right, mq_smlad(x, w.top, w.bias));
        *y = MQ_Y(mq_sat)(requantised(done, &w));
        y += step;
    }
}

/* All outputs of one channel with windows of 3 x 3, stride 1 and a negative shift. */
static void outputs_of_nine(const int16_t *map, int32_t width, const channel *c, MQ_Y(mq_value) * y,
                            const mq_conv_shape *s) {
    const nine w = nine_of(c);
    int32_t j = 0;
    for (; j + 1 < s->out_width; j += 2) {
        two_columns(map + j, width, &w, y + j, s->out_height, s->out_width);
    }
    if (j < s->out_width) {
        one_column(map + j, width, &w, y + j, s->out_height, s->out_width);
    }
}

/* The same where the taps of a row do not lie side by side. */
MQ_OUT_OF_LINE void row_of_spread(const int16_t *map, const channel *c, MQ_Y(mq_value) * y, const mq_conv_shape *s) {
    for (const MQ_Y(mq_value) *end = y + s->out_width; y != end; map += s->stride_width) {
        *y++ = finish(spread_window(map, c, s->kernel_width, s->dilation_width), c);
    }
}

/* All outputs of one channel with any window. */
static void outputs_of(const int16_t *map, int32_t width, const channel *c, MQ_Y(mq_value) * y,
                       const mq_conv_shape *s) {
    for (int32_t i = 0; i < s->out_height; i++) {
        if (s->dilation_width != 1) {
            row_of_spread(map, c, y, s);
        } else if (c->pairs == 1) {
            row_of_1(map, c, y, s->out_width, s->stride_width);
        } else if (c->pairs == 2) {
            row_of_2(map, c, y, s->out_width, s->stride_width);
        } else if (c->pairs == 3) {
            row_of_3(map, c, y, s->out_width, s->stride_width);
        } else {
            row_of_more(map, c, y, s->out_width, s->stride_width);
        }
        y += s->out_width;
        map += s->stride_height * width;
    }
}

void MQ_DEPTHWISE(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *map, const mq_conv_shape *s,
                  const mq_conv_params *p) {
    const int32_t height = mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const int32_t width = mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    int16_t *weights = map + height * width + 1;
    const int32_t is_limited = p->low != MQ_Y(mq_sat)(INT32_MIN) || p->high != MQ_Y(mq_sat)(INT32_MAX);
    const int32_t is_nine = s->kernel_height == 3 && s->kernel_width == 3 && s->stride_height == 1 &&
                            s->stride_width == 1 && s->dilation_height == 1 && s->dilation_width == 1;
    mq_pads(map, height, width, p->x_zero);
    for (int32_t n = 0; n < s->batch; n++) {
        const int8_t *from = w;
        for (int32_t k = 0; k < s->groups; k++) {
            const channel c = {weights,
                               s->kernel_height,
                               (s->kernel_width + 1) / 2,
                               s->dilation_height * width,
                               p->bias[k],
                               p->multiplier[k],
                               p->shift[k],
                               p->y_zero};
            widen(from, s->kernel_height, s->kernel_width, weights);
            MQ_X(mq_pad)(map, x, s, height, width);
            if (is_nine && c.shift < 0) {
                outputs_of_nine(map, width, &c, y, s);
            } else {
                outputs_of(map, width, &c, y, s);
            }
            if (is_limited) {
                limit(y, s->out_height * s->out_width, p->low, p->high);
            }
            y += s->out_height * s->out_width;
            x += s->in_height * s->in_width;
            from += s->kernel_height * s->kernel_width;
        }
    }
}
