/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"

void mq_convert_s8_s8(const int8_t *x, int8_t *y, uint32_t n, int32_t x_zero, int32_t multiplier, int32_t shift,
                      int32_t y_zero) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_sat_s8(mq_requantise(x[i] - x_zero, multiplier, shift) + y_zero);
    }
}
