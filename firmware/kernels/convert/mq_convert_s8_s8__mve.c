/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_s8_s8(const int8_t *x, int8_t *y, uint32_t n, int32_t x_zero, int32_t multiplier, int32_t shift,
                      int32_t y_zero) {
    const mq_to_scale q = mq_to_scale_of(x_zero, multiplier, shift, y_zero, -128, 127);
    MQ_BY_FOUR(vldrbq_s32, vldrbq_z_s32, mq_rescaled, &q, vstrbq_s32, vstrbq_p_s32)
}
