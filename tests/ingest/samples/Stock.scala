package shop.stock

import scala.collection.mutable

case class Article(name: String, amount: Int)

/** Counts what is in stock. */
trait Stock:
  def amount(name: String): Int

object Stock {
  val Empty = -1

  def load(lines: Iterator[String]): MemoryStock = {
    val stock = new MemoryStock
    for (line <- lines; fields = line.split('\t') if fields.length == 2) {
      val name = fields(0).trim
      val amount = fields(1).trim.toIntOption.getOrElse(0)
      stock.add(Article(name, amount))
    }
    stock
  }
}

class MemoryStock extends Stock {
  private val articles = mutable.Map.empty[String, Int]

  def add(article: Article): Unit = {
    require(article.amount >= 0, s"${article.name} has a negative number of amount")
    val before = articles.getOrElse(article.name, 0)
    articles.update(article.name, before + article.amount)
    if (before == 0) println(s"first amount of ${article.name}: ${article.amount}")
  }

  override def amount(name: String): Int =
    articles.get(name) match {
      case Some(count) if count > 0 => count
      case Some(_) => 0
      case None =>
        println(s"nobody ever stored a unit of $name in this stock, so there is none")
        Stock.Empty
    }
}

enum Level { case Low, Enough }

given Ordering[Article] = Ordering.by(_.amount)
