/* Transposed convolutions of integers on Helium: four outputs of a row that are a stride apart. The same taps reach
 * them, and what they read lies side by side, so a channel of a tap is one vector for up to four maps of y.
 * mq_conv_transpose.h has the mathematics. A file defines MQ_X and MQ_Y, which end a name by the format of x and of y,
 * and calls `run` from its function. SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"
#include "mq_mve_scale.h"
#include "mq_window.h"

/* Maps of y at a time. */
#define MQ_MAPS 4u

static inline int32x4_t mq_some_of_s8(const int8_t *p, mve_pred16_t some) {
    return vldrbq_z_s32(p, some);
}

static inline int32x4_t mq_some_of_s16(const int16_t *p, mve_pred16_t some) {
    return vldrhq_z_s32(p, some);
}

static inline void mq_put_apart_s8(int8_t *p, uint32x4_t at, int32x4_t v, mve_pred16_t some) {
    vstrbq_scatter_offset_p_s32(p, at, v, some);
}

static inline void mq_put_apart_s16(int16_t *p, uint32x4_t at, int32x4_t v, mve_pred16_t some) {
    vstrhq_scatter_shifted_offset_p_s32(p, at, v, some);
}

/* Outputs of a row: the first, the rows of x that reach it, and how many there are, a stride apart. */
typedef struct {
    int32_t at;
    mq_reach rows;
    uint32_t count;
} outputs_of_row;

/* Places of a row of x, `from` of the first lane, that lie in [0, size). */
static mve_pred16_t inside(int32_t from, uint32_t count, int32_t size) {
    const uint32_t before = from < 0 ? (uint32_t)-from : 0u;
    const int32_t behind = size - from;
    const uint32_t end = behind < 0 ? 0u : ((uint32_t)behind < count ? (uint32_t)behind : count);
    return (mve_pred16_t)(vctp32q(end) & ~vctp32q(before));
}

/* Adds all channels of one tap to the sums of four maps; `weights` from one map's to the next. */
static void tap(const MQ_X(mq_value) * x, const int8_t *w, uint32_t weights, mve_pred16_t some, int32_t x_zero,
                int32x4_t *sums, const mq_conv_transpose_shape *s) {
    const int32x4_t zero = vpselq_s32(vdupq_n_s32(x_zero), vdupq_n_s32(0), some);
    const int32_t plane = s->in_height * s->in_width;
    int32x4_t a = sums[0];
    int32x4_t b = sums[1];
    int32x4_t c = sums[2];
    int32x4_t d = sums[3];
    for (int32_t k = s->channels; k; k--, x += plane, w++) {
        const int32x4_t v = vsubq_s32(MQ_X(mq_some_of)(x, some), zero);
        a = vmlaq_n_s32(a, v, w[0]);
        b = vmlaq_n_s32(b, v, w[weights]);
        c = vmlaq_n_s32(c, v, w[2u * weights]);
        d = vmlaq_n_s32(d, v, w[3u * weights]);
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* Adds what reaches `maps` maps of y: four at once, or the first alone. */
static void reached(const MQ_X(mq_value) * x, const int8_t *w, const outputs_of_row *n, uint32_t weights,
                    int32_t x_zero, int32x4_t *sums, const mq_conv_transpose_shape *s) {
    for (int32_t a = 0; a < n->rows.count; a++) {
        const int32_t row = (n->rows.from - a * s->tap_move_height) * s->in_width;
        const int32_t first = (n->rows.first + a * s->tap_step_height) * s->kernel_width;
        for (int32_t d = 0; d < s->kernel_width; d++) {
            const int32_t from = n->at + s->pad_left - d * s->dilation_width;
            if (from % s->stride_width == 0) {
                const int32_t place = from / s->stride_width;
                const mve_pred16_t some = inside(place, n->count, s->in_width);
                if (some) {
                    tap(x + row + place, w + (first + d) * s->channels, weights, some, x_zero, sums, s);
                }
            }
        }
    }
}

/* All maps of one group at some places of one row; o: the group's first output. */
static void places(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, const outputs_of_row *n, uint32_t o,
                   const mq_conv_transpose_shape *s, const mq_conv_transpose_params *p) {
    const uint32_t stride = (uint32_t)s->stride_width;
    const uint32_t at[4] = {0, stride, 2u * stride, 3u * stride};
    const uint32_t weights = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    for (uint32_t k = 0; k < (uint32_t)s->outputs; k += MQ_MAPS) {
        const uint32_t left = (uint32_t)s->outputs - k;
        const uint32_t maps = left < MQ_MAPS ? left : MQ_MAPS;
        int32x4_t sums[MQ_MAPS];
        for (uint32_t i = 0; i < MQ_MAPS; i++) {
            sums[i] = vdupq_n_s32(i < maps ? p->bias[o + k + i] : 0);
        }
        if (maps == MQ_MAPS) {
            reached(x, w + k * weights, n, weights, p->x_zero, sums, s);
        } else {
            for (uint32_t i = 0; i < maps; i++) { /* the map alone, four times the same */
                int32x4_t alone[MQ_MAPS] = {sums[i], sums[i], sums[i], sums[i]};
                reached(x, w + (k + i) * weights, n, 0, p->x_zero, alone, s);
                sums[i] = alone[0];
            }
        }
        for (uint32_t i = 0; i < maps; i++) {
            const uint32_t q = o + k + i;
            const mq_to_scale f = mq_to_scale_of(0, p->multiplier[q], p->shift[q], p->y_zero, p->low, p->high);
            MQ_Y(mq_put_apart)(y + (k + i) * map, vldrwq_u32(at), mq_rescaled(sums[i], &f), vctp32q(n->count));
        }
    }
}

static void run(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, const mq_conv_transpose_shape *s,
                const mq_conv_transpose_params *p) {
    const int32_t weights = s->outputs * s->kernel_height * s->kernel_width * s->channels;
    outputs_of_row n;
    for (int32_t group = 0; group < s->batch * s->groups; group++) {
        const int32_t g = group % s->groups;
        for (int32_t i = 0; i < s->out_height; i++) {
            n.rows = mq_taps_reaching(i + s->pad_top, s->stride_height, s->dilation_height, s->kernel_height,
                                      s->in_height, s->tap_step_height, s->tap_move_height);
            for (int32_t residue = 0; residue < s->stride_width && residue < s->out_width; residue++) {
                uint32_t left = (uint32_t)((s->out_width - residue - 1) / s->stride_width) + 1u;
                for (n.at = residue; left; n.at += 4 * s->stride_width, left -= n.count) {
                    n.count = left < 4u ? left : 4u;
                    places(x, w + g * weights, y + i * s->out_width + n.at, &n, (uint32_t)(g * s->outputs), s, p);
                }
            }
        }
        x += s->channels * s->in_height * s->in_width;
        y += s->outputs * s->out_height * s->out_width;
    }
}
