/* Four values at a time in f32; mq_normalise.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_normalise.h"

#include "mq_mve_convert.h"

static float total(float32x4_t x) {
    float lanes[4];
    vstrwq_f32(lanes, x);
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

static float sum_of(const mq_f16 *x, uint32_t count) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    for (uint32_t k = 0; k < count; k += 4u) {
        sums = vaddq_f32(sums, mq_four_z_f16(x + k, vctp32q(count - k)));
    }
    return total(sums);
}

/* Of differences from the mean. */
static float squares_of(const mq_f16 *x, uint32_t count, float mean) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    for (uint32_t k = 0; k < count; k += 4u) {
        const mve_pred16_t some = vctp32q(count - k);
        const float32x4_t d = vaddq_n_f32(mq_four_z_f16(x + k, some), -mean);
        const float32x4_t inside = vpselq_f32(d, vdupq_n_f32(0.0f), some);
        sums = vfmaq_f32(sums, inside, inside);
    }
    return total(sums);
}

/* (x - mean) scale gain + bias, with a gain and a bias for each value. */
static void channels(const mq_f16 *x, const float *gain, const float *bias, mq_f16 *y, uint32_t count, float mean,
                     float scale) {
    for (uint32_t k = 0; k < count; k += 4u) {
        const mve_pred16_t some = vctp32q(count - k);
        const float32x4_t d = vaddq_n_f32(mq_four_z_f16(x + k, some), -mean);
        const float32x4_t g = vmulq_n_f32(vldrwq_z_f32(gain + k, some), scale);
        const float32x4_t b = bias ? vldrwq_z_f32(bias + k, some) : vdupq_n_f32(0.0f);
        mq_put_four_p_f16(y + k, vfmaq_f32(b, d, g), some);
    }
}

/* The same with one gain and one bias. */
static void channel(const mq_f16 *x, float gain, float bias, mq_f16 *y, uint32_t count, float mean) {
    for (uint32_t k = 0; k < count; k += 4u) {
        const mve_pred16_t some = vctp32q(count - k);
        const float32x4_t d = vaddq_n_f32(mq_four_z_f16(x + k, some), -mean);
        mq_put_four_p_f16(y + k, vfmaq_n_f32(vdupq_n_f32(bias), d, gain), some);
    }
}

void mq_normalise_f16(const mq_f16 *x, const float *gain, const float *bias, mq_f16 *y,
                      const mq_normalise_float_params *p) {
    const uint32_t count = p->channels * p->inner;
    for (uint32_t r = 0; r < p->rows; r++, x += count, y += count) {
        const uint32_t at = r % p->groups * p->channels;
        const float mean = p->centre ? sum_of(x, count) / (float)count : 0.0f;
        const float power = squares_of(x, count, mean) / (float)count + p->epsilon;
        const float scale = power > 0.0f ? 1.0f / MQ_SQRT(power) : 0.0f;
        if (p->inner == 1u) {
            channels(x, gain + at, bias ? bias + at : NULL, y, count, mean, scale);
            continue;
        }
        for (uint32_t c = 0; c < p->channels; c++) {
            const float b = bias ? bias[at + c] : 0.0f;
            channel(x + c * p->inner, scale * gain[at + c], b, y + c * p->inner, p->inner, mean);
        }
    }
}
