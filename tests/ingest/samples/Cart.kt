package shop.cart

import java.math.BigDecimal

const val MAX_ITEMS = 100

/** What a customer is about to buy. */
class Cart(private val prices: PriceList) {
    private val items = mutableMapOf<String, Int>()

    /** Adds amount of an article, up to the limit. */
    fun add(article: String, amount: Int = 1) {
        require(amount > 0) { "at least one unit has to be added to the cart" }
        val present = items.values.sum()
        check(present + amount <= MAX_ITEMS) { "the cart holds at most $MAX_ITEMS amount" }
        items[article] = (items[article] ?: 0) + amount
    }

    suspend fun total(currency: String): BigDecimal {
        var sum = BigDecimal.ZERO
        for ((article, amount) in items) {
            val price = prices.find(article, currency) ?: throw UnknownArticle(article)
            sum += price.multiply(BigDecimal(amount))
        }
        return sum.setScale(2)
    }

    companion object {
        fun restored(lines: List<String>, prices: PriceList): Cart {
            val cart = Cart(prices)
            for (line in lines) {
                val (article, amount) = line.split('\t', limit = 2)
                cart.add(article.trim(), amount.trim().toInt())
            }
            return cart
        }
    }
}

class UnknownArticle(article: String) : Exception("there is no article $article")

fun BigDecimal.rounded(): BigDecimal = setScale(2)
