/* Several windows at a time are laid out in `patch`, then multiplied with packed rows; mq_mve_conv.h has the
 * mathematics. A file defines MQ_X and MQ_Y, which end a name by the format of x and of y, and calls `run` from its
 * function. SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_mve_conv.h"
#include "mq_mve_layout.h"

/* All outputs of one group for `count` windows; `first` is the group's first output, y its place in the map. */
static void multiply(const MQ_X(mq_value) * patch, const int8_t *w, const mq_patch *n, uint32_t first, uint32_t count,
                     MQ_Y(mq_value) * y, const mq_conv_shape *s, const mq_conv_params *p) {
    const uint32_t columns = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    const uint32_t outputs = (uint32_t)s->outputs;
    int32_t sums[4u * MQ_WINDOWS];
    for (uint32_t o = 0; o < outputs; o += 4u) {
        const uint32_t rows = outputs - o < 4u ? outputs - o : 4u;
        const mq_finish f = mq_finish_of(p, first + o, rows, map);
        if (rows == 4u) {
            MQ_X(mq_windows)(n, patch, w, count, sums);
        } else {
            MQ_X(mq_windows_left)(n, columns, patch, w, rows, count, sums);
        }
        MQ_Y(mq_finish)(sums, count, rows, &f, y);
        w += 4u * n->row;
        y += 4u * map;
    }
}

/* A map that is read place by place, each by one window, is a single row. */
static mq_conv_shape flattened(const mq_conv_shape *s) {
    mq_conv_shape flat = *s;
    if (s->kernel_height == 1 && s->kernel_width == 1 && s->out_height == s->in_height && s->out_width == s->in_width &&
        s->stride_height == 1 && s->stride_width == 1 && s->pad_top == 0 && s->pad_left == 0) {
        flat.in_width = flat.out_width = s->in_height * s->in_width;
        flat.in_height = flat.out_height = 1;
    }
    return flat;
}

static void run(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *patch,
                const mq_conv_shape *shape, const mq_conv_params *p) {
    const mq_conv_shape flat = flattened(shape);
    const mq_conv_shape *s = &flat;
    const mq_patch n = mq_patch_of(s, 16u / sizeof *x);
    const layout l = layout_of(s, n.row, (MQ_X(mq_value))p->x_zero);
    MQ_X(mq_value) *windows = (MQ_X(mq_value) *)patch;
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    for (int32_t batch = 0; batch < s->batch; batch++) {
        for (int32_t g = 0; g < s->groups; g++) {
            const int8_t *group = w + (uint32_t)(g * s->outputs) * n.row;
            for (uint32_t at = 0; at < map; at += n.windows) {
                const uint32_t count = map - at < n.windows ? map - at : n.windows;
                lay_out(windows, x, &l, at, count);
                multiply(windows, group, &n, (uint32_t)(g * s->outputs), count, y + at, s, p);
            }
            x += s->channels * s->in_height * s->in_width;
            y += (uint32_t)s->outputs * map;
        }
    }
}
