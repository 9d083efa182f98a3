/* One channel at a time, copied into `map` with its pads; mq_mve_depthwise.h has the mathematics.
 * A file defines MQ_X and MQ_Y, which end a name by the format of x and of y, and calls `run` from its function.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_mve_depthwise.h"

/* All outputs of channel k. `weights`: its pieces, or its taps where there are no pieces. Whole rows at a time, or as
 * much of a row as there is room for. */
static void channel(const MQ_X(mq_value) * map, const int8_t *weights, const mq_pieces *pieces, uint32_t k,
                    const mq_limits *limits, MQ_Y(mq_value) * y, const mq_conv_shape *s, const mq_conv_params *p) {
    const uint32_t width = (uint32_t)s->out_width;
    const uint32_t height = (uint32_t)s->out_height;
    const uint32_t stride = (uint32_t)s->stride_width;
    const uint32_t down = (uint32_t)s->stride_height * pieces->row;
    const uint32_t together = pieces->count && width <= MQ_PLACES ? MQ_PLACES / width : 1u;
    int32_t sums[MQ_PLACES];
    for (uint32_t i = 0; i < height; i += together, map += together * down) {
        const uint32_t rows = height - i < together ? height - i : together;
        for (uint32_t j = 0; j < width; j += MQ_PLACES) {
            const uint32_t count = width - j < MQ_PLACES ? width - j : MQ_PLACES;
            const MQ_X(mq_value) *from = map + j * stride;
            if (pieces->count == 0) {
                MQ_X(mq_depthwise_taps)(from, stride, weights, pieces, s, count, sums);
            } else if (pieces->count <= 4u) {
                MQ_X(mq_few_pieces)(from, stride, down, weights, pieces, rows, count, sums);
            } else {
                MQ_X(mq_many_pieces)(from, stride, down, weights, pieces, rows, count, sums);
            }
            MQ_Y(mq_depthwise_finish)(sums, rows * count, p, k, limits, y);
            y += rows * count;
        }
    }
}

/* Places from one row of the map to the next: what lies before and behind a row is the same, and taps of two rows of a
 * window never meet. `width`: places that windows of one row reach; `columns`: those inside. */
static uint32_t row_of(const mq_conv_shape *s, uint32_t width, uint32_t columns) {
    const uint32_t before = (uint32_t)s->pad_left;
    const uint32_t behind = width - before - columns;
    const uint32_t row = columns + (before > behind ? before : behind);
    const uint32_t window = (uint32_t)((s->kernel_width - 1) * s->dilation_width + 1);
    return row > window ? row : window;
}

static void run(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *map, const mq_conv_shape *s,
                const mq_conv_params *p) {
    const uint32_t height =
        (uint32_t)mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const uint32_t width = (uint32_t)mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    const uint32_t rows = (uint32_t)mq_padded_inside((int32_t)height, s->pad_top, s->in_height);
    const uint32_t columns = (uint32_t)mq_padded_inside((int32_t)width, s->pad_left, s->in_width);
    const uint32_t row = row_of(s, width, columns);
    const mq_pieces pieces = mq_pieces_of(s, row, 16u / sizeof *x);
    const mq_limits limits = mq_limits_of(p->y_zero, p->low, p->high);
    MQ_X(mq_value) *padded = (MQ_X(mq_value) *)map;
    MQ_X(mq_value) *inside = padded + (uint32_t)s->pad_top * row + (uint32_t)s->pad_left;
    for (uint32_t k = 0; k < height * row + (uint32_t)s->pad_left; k++) {
        padded[k] = (MQ_X(mq_value))p->x_zero;
    }
    for (int32_t batch = 0; batch < s->batch; batch++) {
        for (int32_t k = 0; k < s->groups; k++) {
            const int8_t *taps = w + k * s->kernel_height * s->kernel_width;
            int8_t weights[(MQ_PIECES + 3u) * (16u / sizeof *x)];
            MQ_X(mq_weights_of)(weights, &pieces, taps);
            MQ_X(mq_put_runs)(inside, x, rows, columns, (uint32_t)s->in_width, row);
            channel(padded, pieces.count ? weights : taps, &pieces, (uint32_t)k, &limits, y, s, p);
            x += s->in_height * s->in_width;
            y += s->out_height * s->out_width;
        }
    }
}
