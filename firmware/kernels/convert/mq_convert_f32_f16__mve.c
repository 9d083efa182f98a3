/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_f32_f16(const float *x, mq_f16 *y, uint32_t n) {
    MQ_BY_FOUR(vldrwq_f32, vldrwq_z_f32, mq_as_it_is, NULL, mq_put_four_f16, mq_put_four_p_f16)
}
