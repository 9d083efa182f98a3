/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

void mq_map_f16(const mq_f16 *x, mq_f16 *y, uint32_t n, mq_function f, const float *parameters) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_f32_to_f16(f(mq_f16_to_f32(x[i]), parameters));
    }
}
