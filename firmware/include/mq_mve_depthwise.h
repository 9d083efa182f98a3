/* Depthwise convolutions on Helium. A channel lies in a map with its pads, so windows have no limits.
 *
 * A window is cut into pieces: runs of places in the map as long as a vector, which together cover all its taps. With
 * the weights of a piece where their taps lie and 0 elsewhere, a piece is one load and one VMLADAVA. Rows of a window
 * that lie close together share a piece.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_DEPTHWISE_H
#define MQ_MVE_DEPTHWISE_H

#include "mq_mve_conv.h"
#include "mq_padded.h"

/* More pieces than these are not kept; such windows are summed tap by tap. */
#define MQ_PIECES 12u

/* Where the pieces of a window begin; 0 pieces where there would be too many. */
typedef struct {
    uint32_t count;
    uint32_t at[MQ_PIECES];
    uint32_t row; /* places of a row of the map */
    uint32_t lanes;
} mq_pieces;

/* The place of a tap in the map, from the first one of its window. */
static inline uint32_t mq_tap_at(const mq_conv_shape *s, uint32_t row, uint32_t tap) {
    const uint32_t width = (uint32_t)s->kernel_width;
    return tap / width * (uint32_t)s->dilation_height * row + tap % width * (uint32_t)s->dilation_width;
}

static inline mq_pieces mq_pieces_of(const mq_conv_shape *s, uint32_t row, uint32_t lanes) {
    mq_pieces p = {0, {0}, row, lanes};
    for (uint32_t tap = 0; tap < (uint32_t)(s->kernel_height * s->kernel_width); tap++) {
        const uint32_t at = mq_tap_at(s, row, tap);
        if (p.count && at < p.at[p.count - 1u] + lanes) {
            continue;
        }
        if (p.count == MQ_PIECES) {
            p.count = 0;
            return p;
        }
        p.at[p.count++] = at;
    }
    return p;
}

/* The weights of one channel as pieces have them: [count][lanes]. */
static inline void mq_weights_of_s8(int8_t *pieces, const mq_pieces *p, const mq_conv_shape *s, const int8_t *w) {
    uint32_t piece = 0;
    uint32_t row = 0;
    for (uint32_t k = 0; k < p->count * 16u; k += 16u) {
        vstrbq_s8(pieces + k, vdupq_n_s8(0));
    }
    for (int32_t a = 0; a < s->kernel_height; a++, row += (uint32_t)s->dilation_height * p->row) {
        uint32_t at = row;
        for (int32_t d = 0; d < s->kernel_width; d++, at += (uint32_t)s->dilation_width) {
            if (piece + 1u < p->count && at >= p->at[piece + 1u]) {
                piece++;
            }
            pieces[piece * 16u + at - p->at[piece]] = *w++;
        }
    }
}

/* Sums of `rows` rows of `width` windows, `stride` apart; from one row to the next `down`. */
static inline void mq_depthwise_rows_s8(const int8_t *x, uint32_t stride, uint32_t down, const int8_t *pieces,
                                        const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {
    const int8x16_t w = vldrbq_s8(pieces);
    const int8x16_t w_second = vldrbq_s8(pieces + 16);
    const int8x16_t w_third = vldrbq_s8(pieces + 32);
    const uint32_t second_at = p->at[1];
    const uint32_t third_at = p->at[2];
    const uint32_t count = p->count;
    for (; rows; rows--, x += down) {
        const int8_t *first = x;
        const int8_t *second = x + second_at;
        const int8_t *third = x + third_at;
        if (count == 1u) {
            for (uint32_t j = width; j; j--, first += stride) {
                *sums++ = vmladavq_s8(w, vldrbq_s8(first));
            }
        } else if (count == 2u) {
            for (uint32_t j = width; j; j--, first += stride, second += stride) {
                *sums++ = vmladavaq_s8(vmladavq_s8(w, vldrbq_s8(first)), w_second, vldrbq_s8(second));
            }
        } else {
            for (uint32_t j = width; j; j--, first += stride, second += stride, third += stride) {
                int32_t sum = vmladavaq_s8(vmladavq_s8(w, vldrbq_s8(first)), w_second, vldrbq_s8(second));
                sum = vmladavaq_s8(sum, w_third, vldrbq_s8(third));
                for (uint32_t k = 3; k < count; k++) {
                    sum = vmladavaq_s8(sum, vldrbq_s8(pieces + k * 16u), vldrbq_s8(first + p->at[k]));
                }
                *sums++ = sum;
            }
        }
    }
}

/* The same, with the usual stride known to the compiler. */
MQ_OUT_OF_LINE void mq_depthwise_sums_s8(const int8_t *x, uint32_t stride, uint32_t down, const int8_t *pieces,
                                         const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {
    if (stride == 1u) {
        mq_depthwise_rows_s8(x, 1, down, pieces, p, rows, width, sums);
    } else {
        mq_depthwise_rows_s8(x, stride, down, pieces, p, rows, width, sums);
    }
}

/* Sums of `count` windows of one row, tap by tap. */
static inline void mq_depthwise_taps_s8(const int8_t *x, uint32_t stride, const int8_t *w, const mq_pieces *p,
                                        const mq_conv_shape *s, uint32_t count, int32_t *sums) {
    for (; count; count--, x += stride) {
        int32_t sum = 0;
        for (uint32_t tap = 0; tap < (uint32_t)(s->kernel_height * s->kernel_width); tap++) {
            sum += (int32_t)x[mq_tap_at(s, p->row, tap)] * w[tap];
        }
        *sums++ = sum;
    }
}

/* The weights of one channel as pieces have them: [count][lanes]. */
static inline void mq_weights_of_s16(int8_t *pieces, const mq_pieces *p, const mq_conv_shape *s, const int8_t *w) {
    uint32_t piece = 0;
    uint32_t row = 0;
    for (uint32_t k = 0; k < p->count * 8u; k += 16u) {
        vstrbq_s8(pieces + k, vdupq_n_s8(0));
    }
    for (int32_t a = 0; a < s->kernel_height; a++, row += (uint32_t)s->dilation_height * p->row) {
        uint32_t at = row;
        for (int32_t d = 0; d < s->kernel_width; d++, at += (uint32_t)s->dilation_width) {
            if (piece + 1u < p->count && at >= p->at[piece + 1u]) {
                piece++;
            }
            pieces[piece * 8u + at - p->at[piece]] = *w++;
        }
    }
}

/* Sums of `rows` rows of `width` windows, `stride` apart; from one row to the next `down`. */
static inline void mq_depthwise_rows_s16(const int16_t *x, uint32_t stride, uint32_t down, const int8_t *pieces,
                                         const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {
    const int16x8_t w = vldrbq_s16(pieces);
    const int16x8_t w_second = vldrbq_s16(pieces + 8);
    const int16x8_t w_third = vldrbq_s16(pieces + 16);
    const uint32_t second_at = p->at[1];
    const uint32_t third_at = p->at[2];
    const uint32_t count = p->count;
    for (; rows; rows--, x += down) {
        const int16_t *first = x;
        const int16_t *second = x + second_at;
        const int16_t *third = x + third_at;
        if (count == 1u) {
            for (uint32_t j = width; j; j--, first += stride) {
                *sums++ = vmladavq_s16(w, vldrhq_s16(first));
            }
        } else if (count == 2u) {
            for (uint32_t j = width; j; j--, first += stride, second += stride) {
                *sums++ = vmladavaq_s16(vmladavq_s16(w, vldrhq_s16(first)), w_second, vldrhq_s16(second));
            }
        } else {
            for (uint32_t j = width; j; j--, first += stride, second += stride, third += stride) {
                int32_t sum = vmladavaq_s16(vmladavq_s16(w, vldrhq_s16(first)), w_second, vldrhq_s16(second));
                sum = vmladavaq_s16(sum, w_third, vldrhq_s16(third));
                for (uint32_t k = 3; k < count; k++) {
                    sum = vmladavaq_s16(sum, vldrbq_s16(pieces + k * 8u), vldrhq_s16(first + p->at[k]));
                }
                *sums++ = sum;
            }
        }
    }
}

/* The same, with the usual stride known to the compiler. */
MQ_OUT_OF_LINE void mq_depthwise_sums_s16(const int16_t *x, uint32_t stride, uint32_t down, const int8_t *pieces,
                                          const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {
    if (stride == 1u) {
        mq_depthwise_rows_s16(x, 1, down, pieces, p, rows, width, sums);
    } else {
        mq_depthwise_rows_s16(x, stride, down, pieces, p, rows, width, sums);
    }
}

/* Sums of `count` windows of one row, tap by tap. */
static inline void mq_depthwise_taps_s16(const int16_t *x, uint32_t stride, const int8_t *w, const mq_pieces *p,
                                         const mq_conv_shape *s, uint32_t count, int32_t *sums) {
    for (; count; count--, x += stride) {
        int32_t sum = 0;
        for (uint32_t tap = 0; tap < (uint32_t)(s->kernel_height * s->kernel_width); tap++) {
            sum += (int32_t)x[mq_tap_at(s, p->row, tap)] * w[tap];
        }
        *sums++ = sum;
    }
}

/* `count` outputs of channel k. Of `sums`, whole vectors are read. */
static inline void mq_depthwise_finish_s8(const int32_t *sums, uint32_t count, const mq_conv_params *p, uint32_t k,
                                          int8_t *y) {
    const int32_t shift = p->shift[k];
    const int32_t bias = p->bias[k];
    const int32x4_t left = vdupq_n_s32(shift > 0 ? shift : 0);
    const int32x4_t multiplier = vdupq_n_s32(p->multiplier[k]);
    const int32x4_t right = vdupq_n_s32(shift < 0 ? shift - 1 : -1);
    const mq_limits limits = mq_limits_of(p->y_zero, p->low, p->high);
    for (uint32_t fours = count >> 2; fours; fours--) {
        const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(vaddq_n_s32(vldrwq_s32(sums), bias), left), multiplier);
        vstrbq_s32(y, mq_limited(vrshlq_s32(wide, right), &limits));
        sums += 4;
        y += 4;
    }
    if (count & 3u) {
        const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(vaddq_n_s32(vldrwq_s32(sums), bias), left), multiplier);
        vstrbq_p_s32(y, mq_limited(vrshlq_s32(wide, right), &limits), vctp32q(count & 3u));
    }
}

/* `count` outputs of channel k. Of `sums`, whole vectors are read. */
static inline void mq_depthwise_finish_s16(const int32_t *sums, uint32_t count, const mq_conv_params *p, uint32_t k,
                                           int16_t *y) {
    const int32_t shift = p->shift[k];
    const int32_t bias = p->bias[k];
    const int32x4_t left = vdupq_n_s32(shift > 0 ? shift : 0);
    const int32x4_t multiplier = vdupq_n_s32(p->multiplier[k]);
    const int32x4_t right = vdupq_n_s32(shift < 0 ? shift - 1 : -1);
    const mq_limits limits = mq_limits_of(p->y_zero, p->low, p->high);
    for (uint32_t fours = count >> 2; fours; fours--) {
        const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(vaddq_n_s32(vldrwq_s32(sums), bias), left), multiplier);
        vstrhq_s32(y, mq_limited(vrshlq_s32(wide, right), &limits));
        sums += 4;
        y += 4;
    }
    if (count & 3u) {
        const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(vaddq_n_s32(vldrwq_s32(sums), bias), left), multiplier);
        vstrhq_p_s32(y, mq_limited(vrshlq_s32(wide, right), &limits), vctp32q(count & 3u));
    }
}

#endif
