/* The project's own builds keep the plain names; a generated folder replaces this file with one that adds the model's
 * prefix to each symbol.
 * SPDX-License-Identifier: Apache-2.0 */
