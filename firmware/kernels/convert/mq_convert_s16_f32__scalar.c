/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_float_factor.h"

void mq_convert_s16_f32(const int16_t *x, float *y, uint32_t n, float scale, int32_t zero) {
    const mq_float_factor factor = mq_float_factor_of(scale);
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_times_float((int32_t)x[i] - zero, &factor);
    }
}
