/* Eight values at a time; mq_mve_half_elementwise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_half_elementwise.h"

MQ_ELEMENTWISE_F16(mq_min_f16, mq_smaller_f16)
