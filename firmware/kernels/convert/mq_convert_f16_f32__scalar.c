/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_float.h"

void mq_convert_f16_f32(const mq_f16 *x, float *y, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_f16_to_f32(x[i]);
    }
}
