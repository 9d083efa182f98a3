/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_convert_f32_s16(const float *x, int16_t *y, uint32_t n, float inverse_scale, int32_t zero) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_sat_s16(mq_round(x[i] * inverse_scale) + zero);
    }
}
