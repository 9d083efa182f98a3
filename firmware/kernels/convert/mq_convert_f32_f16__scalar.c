/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_float.h"

void mq_convert_f32_f16(const float *x, mq_f16 *y, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_f32_to_f16(x[i]);
    }
}
