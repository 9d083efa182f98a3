/* Eight windows of a map at a time on Helium: where they lie and which of their taps meet the map.
 *
 * Windows are counted along the rows of the output map. Window l of eight has its origin at (top[l], left[l]), and a
 * tap (a, d) reads (top[l] + a D, left[l] + d D'). All taps of one place are as far from one another as the origins, so
 * one vector of offsets serves them all, and a predicate says which lie inside. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_WINDOWS_H
#define MQ_MVE_WINDOWS_H

#include "mq_conv.h"
#include "mq_mve.h"

/* Up to eight windows. `offsets` are from `base`, a place in a map of one channel, to the origins. */
typedef struct {
    uint16x8_t offsets;
    int16x8_t top;  /* less that of the first window */
    int16x8_t left; /* the same */
    int32_t first_top;
    int32_t first_left;
    int32_t base;
    uint32_t count;
} mq_eight_windows;

/* What the distances within eight windows may be: they lie in 16 bits. */
#define MQ_FAR 4000

/* Windows from number `at` on. Windows of several rows go together unless rows are so long that offsets could not tell.
 */
static inline mq_eight_windows mq_eight_windows_of(const mq_conv_shape *s, uint32_t at) {
    const int32_t width = s->out_width;
    const int32_t row = (int32_t)at / width;
    const int32_t column = (int32_t)at - row * width;
    const int32_t left_in_row = width - column;
    const int32_t left = s->out_height * width - (int32_t)at;
    const int32_t far = s->stride_height * s->in_width;
    const int32_t most = width < MQ_FAR / s->stride_width && far < MQ_FAR ? left : left_in_row;
    mq_eight_windows w = {vdupq_n_u16(0),
                          vdupq_n_s16(0),
                          vdupq_n_s16(0),
                          row * s->stride_height - s->pad_top,
                          column * s->stride_width - s->pad_left,
                          0,
                          (uint32_t)(most < 8 ? most : 8)};
    int16_t top[8] = {0};
    int16_t side[8] = {0};
    int32_t places[8];
    uint16_t offsets[8] = {0};
    int32_t least = 0;
    int32_t j = column;
    int32_t down = 0;
    for (uint32_t k = 0; k < w.count; k++) {
        top[k] = (int16_t)(down * s->stride_height);
        side[k] = (int16_t)((j - column) * s->stride_width);
        places[k] = top[k] * s->in_width + side[k];
        least = places[k] < least ? places[k] : least;
        j++;
        if (j == width) {
            j = 0;
            down++;
        }
    }
    for (uint32_t k = 0; k < w.count; k++) {
        offsets[k] = (uint16_t)(places[k] - least);
    }
    w.offsets = vldrhq_u16(offsets);
    w.top = vldrhq_s16(top);
    w.left = vldrhq_s16(side);
    w.base = w.first_top * s->in_width + w.first_left + least;
    return w;
}

static inline int16_t mq_within_s16(int32_t x) {
    return (int16_t)(x < -32768 ? -32768 : (x > 32767 ? 32767 : x));
}

/* The windows whose place, `first` of the first one, lies in [0, size). */
static inline mve_pred16_t mq_inside(int16x8_t place, int32_t first, int32_t size) {
    const mve_pred16_t from = vcmpgeq_n_s16(place, mq_within_s16(-first));
    return (mve_pred16_t)(from & vcmpltq_n_s16(place, mq_within_s16(size - first)));
}

/* The windows of which row a and column d of the taps meet the map. */
static inline mve_pred16_t mq_tap_inside(const mq_eight_windows *w, const mq_conv_shape *s, int32_t a, int32_t d) {
    const mve_pred16_t rows = mq_inside(w->top, w->first_top + a * s->dilation_height, s->in_height);
    const mve_pred16_t columns = mq_inside(w->left, w->first_left + d * s->dilation_width, s->in_width);
    return (mve_pred16_t)(rows & columns & vctp16q(w->count));
}

/* A tap's place in a map, from the windows' base. */
static inline int32_t mq_tap_place(const mq_eight_windows *w, const mq_conv_shape *s, int32_t a, int32_t d) {
    return w->base + a * s->dilation_height * s->in_width + d * s->dilation_width;
}

#endif
