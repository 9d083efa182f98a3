/* Four values at a time, the powers by gather; mq_softmax.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_fixed_functions.h"
#include "mq_mve.h"

/* Values of a row, `step` apart: the places of four, and how many of them there are in the last four. */
typedef struct {
    uint32_t count;
    uint32_t step;
    uint32x4_t at;
    mve_pred16_t last;
} values;

static values values_of(uint32_t count, uint32_t step) {
    const uint32_t at[4] = {0, step, 2u * step, 3u * step};
    return (values){count, 4u * step, vldrwq_u32(at), vctp32q(count & 3u)};
}

static int32_t largest_of(const int8_t *x, const values *v) {
    const int32x4_t first = vdupq_n_s32(*x);
    int32x4_t largest = first;
    for (uint32_t fours = v->count >> 2; fours; fours--) {
        largest = vmaxq_s32(largest, vldrbq_gather_offset_s32(x, v->at));
        x += v->step;
    }
    if (v->count & 3u) {
        const int32x4_t some = vldrbq_gather_offset_z_s32(x, v->at, v->last);
        largest = vmaxq_s32(largest, vpselq_s32(some, first, v->last));
    }
    return vmaxvq_s32(-128, largest);
}

static inline uint32x4_t below(int32x4_t largest, int32x4_t x) {
    return vreinterpretq_u32_s32(vsubq_s32(largest, x));
}

static uint64_t sum_of(const int8_t *x, const values *v, const uint32_t *powers, int32x4_t largest) {
    uint64_t sum = 0;
    for (uint32_t fours = v->count >> 2; fours; fours--) {
        const uint32x4_t at = below(largest, vldrbq_gather_offset_s32(x, v->at));
        sum = vaddlvaq_u32(sum, vldrwq_gather_shifted_offset_u32(powers, at));
        x += v->step;
    }
    if (v->count & 3u) {
        const uint32x4_t at = below(largest, vldrbq_gather_offset_z_s32(x, v->at, v->last));
        sum = vaddlvaq_u32(sum, vldrwq_gather_shifted_offset_z_u32(powers, at, v->last));
    }
    return sum;
}

/* rshr((e >> 15) factor, shift) + zero, at most 127. It is never below -128, because no term is below zero. */
static inline int32x4_t scaled(uint32x4_t power, uint32_t factor, int32x4_t shift, int32_t zero) {
    const uint32x4_t product = vmulq_n_u32(vshrq_n_u32(power, 15), factor);
    const int32x4_t y = vaddq_n_s32(vreinterpretq_s32_u32(vrshlq_u32(product, shift)), zero);
    return vminq_s32(y, vdupq_n_s32(127));
}

static void row(const int8_t *x, int8_t *y, const values *v, const mq_softmax_s8_params *p) {
    const uint32_t *powers = (const uint32_t *)p->powers;
    const int32x4_t largest = vdupq_n_s32(largest_of(x, v));
    const uint64_t sum = sum_of(x, v, powers, largest);
    const int32_t bits = mq_bit_length(sum);
    const uint32_t top = (uint32_t)(sum >> (bits - 16));
    const int32_t wanted = bits + 1 - p->y_shift;
    const uint32_t quotient = ((uint32_t)p->y_multiplier + (top >> 1)) / top;
    const uint32_t factor = wanted > 31 ? 0u : (wanted < 1 ? 65536u : quotient);
    const int32x4_t shift = vdupq_n_s32(-mq_clamp(wanted, 1, 31));
    for (uint32_t fours = v->count >> 2; fours; fours--) {
        const uint32x4_t at = below(largest, vldrbq_gather_offset_s32(x, v->at));
        const uint32x4_t power = vldrwq_gather_shifted_offset_u32(powers, at);
        vstrbq_scatter_offset_s32(y, v->at, scaled(power, factor, shift, p->y_zero));
        x += v->step;
        y += v->step;
    }
    if (v->count & 3u) {
        const uint32x4_t at = below(largest, vldrbq_gather_offset_z_s32(x, v->at, v->last));
        const uint32x4_t power = vldrwq_gather_shifted_offset_z_u32(powers, at, v->last);
        vstrbq_scatter_offset_p_s32(y, v->at, scaled(power, factor, shift, p->y_zero), v->last);
    }
}

void mq_softmax_s8(const int8_t *x, int8_t *y, const mq_softmax_s8_params *p) {
    const values v = values_of(p->count, p->inner);
    const size_t block = (size_t)p->count * p->inner;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            row(x + i, y + i, &v, p);
        }
        x += block;
        y += block;
    }
}
