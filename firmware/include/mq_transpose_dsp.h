/* The transposed convolutions with s8 weights on cores with DSP instructions; mq_conv_transpose.h has the mathematics.
 *
 * Outputs of a row that are a stride apart are reached by the same taps, and what they read lies side by side. So four
 * of them are made at a time: of every channel of a tap four values and one weight, LDR, two SXTAB16 and LDRSB (in s16
 * two LDR and LDRSB), and four SMLABB or SMLATB. Where a tap lies outside for some of the four, each is made alone.
 * A file defines MQ_CONV_TRANSPOSE, the function's name, and MQ_X and MQ_Y, which end a name by the format of x and y.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"
#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_window.h"

/* Of four outputs. */
typedef struct {
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
} four_sums;

/* The outputs of a row that are `stride_width` apart, from output `at` on: `count` <= 4 of them; the rows of x that
 * reach them; the first tap of a row that does, and the place in x that it reads for the first of them. */
typedef struct {
    mq_reach rows;
    int32_t at;
    int32_t count;
    int32_t tap;
    int32_t place;
} outputs;

/* One channel of a tap. */
static inline four_sums add_channel_s8(four_sums acc, const int8_t *x, int32_t w, uint32_t minus_zero) {
    const uint32_t word = mq_load_bytes(x), weight = (uint32_t)w;
    const uint32_t ac = mq_sxtab16(minus_zero, word), bd = mq_sxtab16_odd(minus_zero, word);
    acc.a = mq_smlabb(ac, weight, acc.a);
    acc.b = mq_smlabb(bd, weight, acc.b);
    acc.c = mq_smlatb(ac, weight, acc.c);
    acc.d = mq_smlatb(bd, weight, acc.d);
    return acc;
}

static inline four_sums add_channel_s16(four_sums acc, const int16_t *x, int32_t w, uint32_t minus_zero) {
    (void)minus_zero; /* the zero point of s16 is 0 */
    const uint32_t ab = mq_load_halves(x), cd = mq_load_halves(x + 2), weight = (uint32_t)w;
    acc.a = mq_smlabb(ab, weight, acc.a);
    acc.b = mq_smlatb(ab, weight, acc.b);
    acc.c = mq_smlabb(cd, weight, acc.c);
    acc.d = mq_smlatb(cd, weight, acc.d);
    return acc;
}

/* All channels of a tap that lies inside for all four. */
static inline void add_tap(int32_t *sums, const MQ_X(mq_value) * x, const int8_t *w, const mq_conv_transpose_shape *s,
                           uint32_t minus_zero) {
    const int32_t plane = s->in_height * s->in_width;
    four_sums acc = {sums[0], sums[1], sums[2], sums[3]};
    for (const int8_t *end = w + s->channels; w != end; x += plane) {
        acc = MQ_X(add_channel)(acc, x, *w++, minus_zero);
    }
    sums[0] = acc.a;
    sums[1] = acc.b;
    sums[2] = acc.c;
    sums[3] = acc.d;
}

/* All channels of a tap for a single output. */
static int32_t add_alone(int32_t acc, const MQ_X(mq_value) * x, const int8_t *w, const mq_conv_transpose_shape *s,
                         int32_t x_zero) {
    const int32_t plane = s->in_height * s->in_width;
    for (const int8_t *end = w + s->channels; w != end; x += plane) {
        acc += (*x - x_zero) * *w++;
    }
    return acc;
}

/* Adds what reaches the outputs in one map; w: its weights. */
static void add_taps(int32_t *sums, const MQ_X(mq_value) * x, const int8_t *w, const outputs *n,
                     const mq_conv_transpose_shape *s, int32_t x_zero) {
    const uint32_t minus_zero = mq_pack(-x_zero, -x_zero);
    for (int32_t a = 0; a < n->rows.count; a++) {
        const MQ_X(mq_value) *row = x + (n->rows.from - a * s->tap_move_height) * s->in_width;
        const int8_t *taps = w + (n->rows.first + a * s->tap_step_height) * s->kernel_width * s->channels;
        int32_t place = n->place;
        for (int32_t d = n->tap; d < s->kernel_width; d += s->tap_step_width) {
            const int8_t *tap = taps + d * s->channels;
            if (place >= 0 && place + 4 <= s->in_width) {
                add_tap(sums, row + place, tap, s, minus_zero);
            } else {
                for (int32_t k = 0; k < n->count; k++) {
                    if ((uint32_t)(place + k) < (uint32_t)s->in_width) {
                        sums[k] = add_alone(sums[k], row + place + k, tap, s, x_zero);
                    }
                }
            }
            place -= s->tap_move_width;
        }
    }
}

/* The outputs in all maps of the group that begins with map `first`; y: in the first of them. */
static void in_all_maps(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, const outputs *n, int32_t first,
                        const mq_conv_transpose_shape *s, const mq_conv_transpose_params *p) {
    for (int32_t o = first; o < first + s->outputs; o++) {
        int32_t sums[4] = {p->bias[o], p->bias[o], p->bias[o], p->bias[o]};
        add_taps(sums, x, w, n, s, p->x_zero);
        for (int32_t k = 0; k < n->count; k++) {
            const int32_t value = p->y_zero + mq_requantise(sums[k], p->multiplier[o], p->shift[o]);
            y[k * s->stride_width] = (MQ_Y(mq_value))mq_clamp(value, p->low, p->high);
        }
        w += s->kernel_height * s->kernel_width * s->channels;
        y += s->out_height * s->out_width;
    }
}

/* The first tap that reaches output `at` of an unlimited row, and the place that it reads; tap_step_width if none. */
static void find_tap(outputs *n, const mq_conv_transpose_shape *s) {
    const int32_t at = n->at + s->pad_left;
    n->tap = 0;
    while (n->tap < s->tap_step_width && (at - n->tap * s->dilation_width) % s->stride_width != 0) {
        n->tap++;
    }
    n->tap = n->tap < s->tap_step_width ? n->tap : s->kernel_width;
    n->place = (at - n->tap * s->dilation_width) / s->stride_width;
}

/* One row of outputs in all maps of a group. */
static void one_row(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, mq_reach rows, int32_t first,
                    const mq_conv_transpose_shape *s, const mq_conv_transpose_params *p) {
    for (int32_t residue = 0; residue < s->stride_width && residue < s->out_width; residue++) {
        outputs n = {rows, residue, 0, 0, 0};
        find_tap(&n, s);
        for (int32_t left = (s->out_width - residue - 1) / s->stride_width + 1; left > 0; left -= 4) {
            n.count = left < 4 ? left : 4;
            in_all_maps(x, w, y + n.at, &n, first, s, p);
            n.at += 4 * s->stride_width;
            n.place += 4;
        }
    }
}

void MQ_CONV_TRANSPOSE(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, const mq_conv_transpose_shape *s,
                       const mq_conv_transpose_params *p) {
    const int32_t weights = s->outputs * s->kernel_height * s->kernel_width * s->channels;
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t g = 0; g < s->groups; g++) {
            for (int32_t i = 0; i < s->out_height; i++) {
                const mq_reach rows =
                    mq_taps_reaching(i + s->pad_top, s->stride_height, s->dilation_height, s->kernel_height,
                                     s->in_height, s->tap_step_height, s->tap_move_height);
                one_row(x, w + g * weights, y + i * s->out_width, rows, g * s->outputs, s, p);
            }
            x += s->channels * s->in_height * s->in_width;
            y += s->outputs * s->out_height * s->out_width;
        }
    }
}
