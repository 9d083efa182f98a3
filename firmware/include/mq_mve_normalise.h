/* Normalisation of integers on Helium, four values at a time; mq_normalise.h has the mathematics. With the zero point
 * z, sum v = sum x - n z and sum v^2 = sum x^2 - 2 z sum x + n z^2, so sums are taken of what is stored.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_NORMALISE_H
#define MQ_MVE_NORMALISE_H

#include "mq_fixed.h"
#include "mq_fixed_functions.h"
#include "mq_mve_convert.h"
#include "mq_normalise.h"

typedef struct {
    int64_t values;
    int64_t squares;
} mq_moments;

static inline mq_moments mq_moments_s8(const int8_t *x, uint32_t count) {
    int32_t values = 0;
    int32_t squares = 0; /* at most 32767 * 2^14 */
    for (uint32_t k = 0; k < count; k += 16u) {
        const int8x16_t v = vldrbq_z_s8(x + k, vctp8q(count - k));
        values = vaddvaq_s8(values, v);
        squares = vmladavaq_s8(squares, v, v);
    }
    return (mq_moments){values, squares};
}

static inline mq_moments mq_moments_s16(const int16_t *x, uint32_t count) {
    int32_t values = 0;
    int64_t squares = 0;
    for (uint32_t k = 0; k < count; k += 8u) {
        const int16x8_t v = vldrhq_z_s16(x + k, vctp16q(count - k));
        values = vaddvaq_s16(values, v);
        squares = vmlaldavaq_s16(squares, v, v);
    }
    return (mq_moments){values, squares};
}

/* How values of a row become results. */
typedef struct {
    int32_t count;
    int32_t fraction;
    mq_to_scale scale; /* of count times x; x_zero: count times the zero point, and the sum of the row */
} mq_normal;

static inline mq_normal mq_normal_of(mq_moments m, const mq_normalise_params *p, int32_t low, int32_t high) {
    const int32_t count = (int32_t)(p->channels * p->inner);
    const int64_t z = p->x_zero;
    const int64_t sum = m.values - count * z;
    const int64_t squares = m.squares - 2 * z * m.values + count * z * z;
    const int64_t offset = p->centre ? sum : 0;
    const int64_t power = ((count * squares - offset * offset) >> p->drop) + p->epsilon;
    const mq_factor scale = mq_rsqrt(power < 1 ? 1 : power);
    const int32_t zero = (int32_t)(count * z + offset);
    return (mq_normal){count, -p->fraction,
                       mq_to_scale_of(zero, scale.multiplier, scale.shift + p->unit, p->y_zero, low, high)};
}

static inline int32x4_t mq_normalised(int32x4_t x, int32x4_t gain, int32x4_t bias, const mq_normal *q) {
    const int32x4_t normal = mq_scaled(vsubq_n_s32(vmulq_n_s32(x, q->count), q->scale.x_zero), &q->scale);
    const int32x4_t y = vaddq_s32(vrmulhq_s32(normal, gain), bias);
    return mq_limited(vrshlq_n_s32(y, q->fraction), &q->scale.limits);
}

/* Channels of one value are neighbours; the values of a channel have one gain. */
#define MQ_NORMALISE(format, value, low, high, load, load_some, store, store_some)                                     \
    static inline void mq_channels_##format(const value *x, const int32_t *gain, const int32_t *bias, value *y,        \
                                            uint32_t count, const mq_normal *q) {                                      \
        for (; count >= 4u; count -= 4u, x += 4, y += 4, gain += 4) {                                                  \
            const int32x4_t b = bias ? vldrwq_s32(bias) : vdupq_n_s32(0);                                              \
            store(y, mq_normalised(load(x), vldrwq_s32(gain), b, q));                                                  \
            bias = bias ? bias + 4 : NULL;                                                                             \
        }                                                                                                              \
        if (count) {                                                                                                   \
            const mve_pred16_t some = vctp32q(count);                                                                  \
            const int32x4_t b = bias ? vldrwq_z_s32(bias, some) : vdupq_n_s32(0);                                      \
            store_some(y, mq_normalised(load_some(x, some), vldrwq_z_s32(gain, some), b, q), some);                    \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static inline void mq_channel_##format(const value *x, int32_t gain, int32_t bias, value *y, uint32_t count,       \
                                           const mq_normal *q) {                                                       \
        const int32x4_t g = vdupq_n_s32(gain);                                                                         \
        const int32x4_t b = vdupq_n_s32(bias);                                                                         \
        for (; count >= 4u; count -= 4u, x += 4, y += 4) {                                                             \
            store(y, mq_normalised(load(x), g, b, q));                                                                 \
        }                                                                                                              \
        if (count) {                                                                                                   \
            const mve_pred16_t some = vctp32q(count);                                                                  \
            store_some(y, mq_normalised(load_some(x, some), g, b, q), some);                                           \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    void mq_normalise_##format(const value *x, const int32_t *gain, const int32_t *bias, value *y,                     \
                               const mq_normalise_params *p) {                                                         \
        const uint32_t count = p->channels * p->inner;                                                                 \
        for (uint32_t r = 0; r < p->rows; r++, x += count, y += count) {                                               \
            const mq_normal q = mq_normal_of(mq_moments_##format(x, count), p, low, high);                             \
            const uint32_t at = r % p->groups * p->channels;                                                           \
            if (p->inner == 1u) {                                                                                      \
                mq_channels_##format(x, gain + at, bias ? bias + at : NULL, y, count, &q);                             \
                continue;                                                                                              \
            }                                                                                                          \
            for (uint32_t c = 0; c < p->channels; c++) {                                                               \
                const uint32_t k = c * p->inner;                                                                       \
                mq_channel_##format(x + k, gain[at + c], bias ? bias[at + c] : 0, y + k, p->inner, &q);                \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif
