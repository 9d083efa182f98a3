/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"
#include "mq_float_factor.h"

void mq_convert_f32_s8(const float *x, int8_t *y, uint32_t n, float inverse_scale, int32_t zero) {
    const mq_float_factor factor = mq_float_factor_of(inverse_scale);
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_sat_s8(mq_round_times(x[i], &factor) + zero);
    }
}
