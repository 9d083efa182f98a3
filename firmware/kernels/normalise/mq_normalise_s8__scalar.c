/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_normalise.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"

void mq_normalise_s8(const int8_t *x, const int32_t *gain, const int32_t *bias, int8_t *y,
                     const mq_normalise_params *p) {
    const int32_t count = (int32_t)(p->channels * p->inner);
    uint32_t group = 0;
    for (uint32_t r = 0; r < p->rows; r++) {
        int32_t sum = 0;
        int64_t squares = 0;
        for (int32_t i = 0; i < count; i++) {
            const int32_t v = x[i] - p->x_zero;
            sum += v;
            squares += v * v;
        }
        const int32_t offset = p->centre ? sum : 0;
        const int64_t power = ((count * squares - (int64_t)offset * offset) >> p->drop) + p->epsilon;
        const mq_factor scale = mq_rsqrt(power < 1 ? 1 : power);
        const int32_t shift = scale.shift + p->unit;
        for (uint32_t c = 0; c < p->channels; c++) {
            const int32_t g = gain[group * p->channels + c];
            const int32_t b = bias ? bias[group * p->channels + c] : 0;
            for (uint32_t i = 0; i < p->inner; i++) {
                const int32_t d = count * (*x++ - p->x_zero) - offset;
                const int32_t normal = mq_requantise(d, scale.multiplier, shift);
                *y++ = mq_sat_s8(p->y_zero + mq_rshr(mq_mulhr(normal, g) + b, p->fraction));
            }
        }
        group = group + 1u < p->groups ? group + 1u : 0u;
    }
}
