/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_float.h"

void mq_convert_s8_f16(const int8_t *x, mq_f16 *y, uint32_t n, float scale, int32_t zero) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_f32_to_f16((float)((int32_t)x[i] - zero) * scale);
    }
}
