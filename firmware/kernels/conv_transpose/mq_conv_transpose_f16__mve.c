/* Half-precision products of eight outputs of a row that are a stride apart: the same taps reach them, and what they
 * read lies side by side. mq_mve_half_maps.h has the rounding.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"

#include "mq_mve_half_maps.h"
#include "mq_window.h"

/* The first of eight outputs, its row as the taps reach it, and how many there are in the row, `stride` apart. */
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
    return (mve_pred16_t)(vctp16q(end) & ~vctp16q(before));
}

/* Adds what reaches the outputs `o` of one group, `together` of them. w: their packed weights, column after column. */
static void reached(const mq_f16 *x, const mq_f16 *w, const outputs_of_row *n, uint32_t together, float *sums,
                    const mq_conv_transpose_shape *s) {
    const uint32_t channels = (uint32_t)s->channels;
    const uint32_t plane = (uint32_t)(s->in_height * s->in_width);
    for (int32_t a = 0; a < n->rows.count; a++) {
        const int32_t row = (n->rows.from - a * s->tap_move_height) * s->in_width;
        const int32_t first = (n->rows.first + a * s->tap_step_height) * s->kernel_width;
        for (int32_t d = 0; d < s->kernel_width; d++) {
            const int32_t from = n->at + s->pad_left - d * s->dilation_width;
            if (from % s->stride_width != 0) {
                continue;
            }
            const int32_t place = from / s->stride_width;
            const mve_pred16_t some = inside(place, n->count, s->in_width);
            if (some) {
                const mq_f16 *tap = w + (uint32_t)(first + d) * channels * together;
                mq_half_maps(x + row + place, channels, tap, plane, some, together, sums);
            }
        }
    }
}

/* Lanes of a vector that lie `stride` apart in y. */
static void put(const float *sums, uint32_t count, uint32_t stride, mq_f16 *y,
                const mq_conv_transpose_float_params *p) {
    const uint16x8_t v = vreinterpretq_u16_f16(mq_half_result(sums, p->low, p->high));
    uint16_t offsets[8];
    if (stride == 1u) {
        vstrhq_p_u16(y, v, vctp16q(count));
        return;
    }
    for (uint32_t k = 0; k < 8u; k++) {
        offsets[k] = (uint16_t)(k * stride);
    }
    vstrhq_scatter_shifted_offset_p_u16(y, vldrhq_u16(offsets), v, vctp16q(count));
}

/* All outputs of one group at some places of one row. */
static void places(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, const outputs_of_row *n,
                   const mq_conv_transpose_shape *s, const mq_conv_transpose_float_params *p) {
    const uint32_t outputs = (uint32_t)s->outputs;
    const uint32_t weights = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    uint32_t together;
    for (uint32_t o = 0; o < outputs; o += together) {
        float sums[8u * MQ_OUTPUTS_F16];
        together = mq_half_outputs(outputs - o);
        mq_half_biases(b ? b + o : NULL, together, sums);
        reached(x, w + o * weights, n, together, sums, s);
        for (uint32_t k = 0; k < together; k++) {
            put(sums + 8u * k, n->count, (uint32_t)s->stride_width, y + (o + k) * map, p);
        }
    }
}

/* One group of one image. */
static void group(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, const mq_conv_transpose_shape *s,
                  const mq_conv_transpose_float_params *p) {
    outputs_of_row n;
    for (int32_t i = 0; i < s->out_height; i++) {
        n.rows = mq_taps_reaching(i + s->pad_top, s->stride_height, s->dilation_height, s->kernel_height, s->in_height,
                                  s->tap_step_height, s->tap_move_height);
        for (int32_t residue = 0; residue < s->stride_width && residue < s->out_width; residue++) {
            uint32_t left = (uint32_t)((s->out_width - residue - 1) / s->stride_width) + 1u;
            for (n.at = residue; left; n.at += 8 * s->stride_width, left -= n.count) {
                n.count = left < 8u ? left : 8u;
                places(x, w, b, y + i * s->out_width + n.at, &n, s, p);
            }
        }
    }
}

void mq_conv_transpose_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                           const mq_conv_transpose_shape *s, const mq_conv_transpose_float_params *p) {
    const size_t weights = (size_t)s->outputs * (size_t)(s->kernel_height * s->kernel_width * s->channels);
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t g = 0; g < s->groups; g++) {
            group(x, w + (size_t)g * weights, b ? b + g * s->outputs : NULL, y, s, p);
            x += (size_t)s->channels * (size_t)(s->in_height * s->in_width);
            y += (size_t)s->outputs * (size_t)(s->out_height * s->out_width);
        }
    }
}
