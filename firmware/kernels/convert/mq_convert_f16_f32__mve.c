/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_f16_f32(const mq_f16 *x, float *y, uint32_t n) {
    MQ_BY_FOUR(mq_four_f16, mq_four_z_f16, mq_as_it_is, NULL, vstrwq_f32, vstrwq_p_f32)
}
