/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_f16_s8(const mq_f16 *x, int8_t *y, uint32_t n, float inverse_scale, int32_t zero) {
    const mq_to_integers q = mq_to_integers_of(inverse_scale, zero, -128, 127);
    MQ_BY_FOUR(mq_four_f16, mq_four_z_f16, mq_integers, &q, vstrbq_s32, vstrbq_p_s32)
}
