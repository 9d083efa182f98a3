/* Four values at a time; mq_mve_elementwise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_elementwise.h"

MQ_WITH(MQ_ELEMENTWISE, mq_mul_s16, int16_t, mq_mul_params, mq_factors, mq_factors_of, -32768, 32767, mq_mul_four,
        MQ_S16_BY_FOUR)
